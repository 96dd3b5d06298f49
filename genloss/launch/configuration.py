"""The resolved configuration of a run, as an artifact."""

from __future__ import annotations

import shutil

import yaml

from genloss.experiment.schema import Run
from genloss.record.folder import EXPERIMENT, PACKAGES, RunFolder
from genloss.registry.catalogue import Catalogue

PLUGINS = "plugins"
"""The folder of the artifacts that has a copy of each plugin file and of its neighbours."""


def write_configuration(run: Run, folder: RunFolder, known: Catalogue) -> list[str]:
    """Write the run's resolved configuration and the code of its plugin files, and copies what the study's
    runs share; gives the names."""
    content = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder.artifacts / "config.yaml").write_text(
        "# This run, with everything that was decided for it. It is reproduced by\n"
        f"#   {run.reproduce}\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
        encoding="utf-8",
    )
    names = ["config.yaml"]
    study = folder.path.parent
    for source in [study / EXPERIMENT, study / PACKAGES]:
        if source.exists():
            shutil.copyfile(source, folder.artifacts / source.name)
            names.append(source.name)
    for code in (plugin.code for plugin in known.plugins if plugin.code is not None):
        to = f"{PLUGINS}/{code.path.stem}-{code.version}"  # two may bear one name
        names += [f"{to}/{name}" for name in code.write(folder.artifacts / to)]
    return names
