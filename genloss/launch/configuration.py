"""What a run was trained by, among its artifacts."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from genloss.experiment.schema import Run
from genloss.record.folder import EXPERIMENT, GIT_DIFF, PACKAGES, RunFolder


def write_configuration(run: Run, folder: RunFolder) -> list[str]:
    """Writes the run's resolved configuration and copies what the study's runs share; gives the names."""
    content = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder.artifacts / "config.yaml").write_text(
        "# This run, with everything that was decided for it. It is reproduced by\n"
        f"#   {run.reproduce}\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    )
    names = ["config.yaml"]
    study = folder.path.parent
    for source in [study / EXPERIMENT, study / PACKAGES, study / GIT_DIFF, *map(Path, run.plugins)]:
        if source.exists():
            shutil.copyfile(source, folder.artifacts / source.name)
            names.append(source.name)
    return names
