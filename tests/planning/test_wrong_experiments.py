"""What a person reads who made a mistake: where it is, what was expected, and what to do.

Written against the built-in definitions, as a newcomer meets them.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from genloss import commands
from genloss.errors import RequestError
from genloss.planning.plan import plan

RIGHT = """\
name: gan-losses
data: {name: digits}
model: {name: gan, latent_dim: 16, hidden: [32]}
objectives:
  non_saturating:
    discriminator: minimax_discriminator
    generator: non_saturating_generator
  wgan_gp:
    discriminator: [wasserstein_discriminator, {gradient_penalty: {weight: 10, target: 1.0}}]
    generator: wasserstein_generator
training:
  steps: 100
  batch_size: 64
  optimizer: {name: adam, lr: 1e-3}
seeds: [0, 1, 2]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def message(content: str | bytes, *overrides: str) -> str:
    """What is said about an experiment with this content."""
    Path("gan.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    arguments = [word for override in overrides for word in ("--set", override)]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["genloss", "plan", "gan.yaml", *arguments])
        with pytest.raises(SystemExit) as ending:
            commands.main()
    assert ending.value.code == 2
    assert out.getvalue() == ""
    said = err.getvalue()
    assert said.startswith("error: ")
    assert said.count("error:") == 1
    return said.removeprefix("error: ").rstrip("\n")


def wrong(right: str, wrong: str) -> str:
    """What is said when this stands in the place of what is right."""
    assert right in RIGHT
    return message(RIGHT.replace(right, wrong, 1))


def test_what_is_right_is_planned() -> None:
    Path("gan.yaml").write_text(RIGHT)
    assert len(plan("gan.yaml").experiment.objectives) == 2


def test_an_unknown_key() -> None:
    assert wrong("batch_size: 64", "batchsize: 64") == (
        "unknown key `batchsize` in `training`\n"
        "  --> gan.yaml:13:3\n"
        "hint: did you mean `batch_size`?"
    )  # fmt: skip


def test_a_misspelt_loss() -> None:
    assert wrong("generator: wasserstein_generator", "generator: waserstein_generator") == (
        "no plugin offers a loss named `waserstein_generator`\n"
        "  --> gan.yaml:10:16\n"
        "hint: did you mean `wasserstein_generator` or `wasserstein_discriminator`? "
        "`genloss list losses` shows all"
    )


def test_an_option_out_of_bounds() -> None:
    assert wrong("latent_dim: 16", "latent_dim: 0") == (
        "option `latent_dim` of model `gan`: expected int > 0, got 0\n"
        "  --> gan.yaml:3:32\n"
        "hint: `genloss show gan` tells what it means"
    )


def test_a_number_out_of_bounds() -> None:
    assert wrong("steps: 100", "steps: 0") == (
        "`training.steps`: expected a number > 0, got `0`\n"
        "  --> gan.yaml:12:10\n"
        "hint: as in `steps: 1000`"
    )  # fmt: skip


def test_a_wrong_type() -> None:
    assert wrong("steps: 100", "steps: abc") == (
        "`training.steps`: expected an integer, got `abc`\n"
        "  --> gan.yaml:12:10\n"
        "hint: as in `steps: 1000`"
    )  # fmt: skip


def test_an_option_of_the_wrong_type() -> None:
    assert wrong("target: 1.0", "target: one") == (
        'option `target` of loss `gradient_penalty`: expected float ≥ 0, got "one"\n'
        "  --> gan.yaml:9:88\n"
        "hint: `genloss show gradient_penalty` tells what it means"
    )


def test_a_quantity_that_the_model_does_not_offer() -> None:
    assert wrong("generator: wasserstein_generator", "generator: [wasserstein_generator, gaussian_kl]") == (
        "loss `gaussian_kl` needs the quantity `mu`, which model `gan` does not offer to `generator`\n"
        "  --> gan.yaml:10:40\n"
        "hint: `generator` is offered `dataset_size`, `fake`, `fake_features`, `fake_logits`, `real`, "
        "`real_features`, `real_logits`, `x`, `x_range`, `z`; `mu` is offered by model `vae`"
    )


def test_a_duplicate_key() -> None:
    assert wrong("  batch_size: 64", "  steps: 64") == (
        "the key `steps` is given twice\n"
        "  --> gan.yaml:13:3\n"
        "hint: keep one of them; the first is in line 12"
    )  # fmt: skip


def test_a_tab() -> None:
    assert wrong("  batch_size: 64", "\tbatch_size: 64") == (
        "a tab stands where YAML allows only spaces\n"
        "  --> gan.yaml:13:1\n"
        "hint: replace the tab by spaces"
    )  # fmt: skip


def test_an_alias_bomb() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))
    assert message(bomb) == (
        "the experiment has more than 10000 values, those of aliases included\n"
        "  --> gan.yaml:4:45\n"
        "hint: look for aliases of aliases; an experiment needs no such size"
    )


def test_a_missing_file() -> None:
    Path("gan.yaml").write_text(RIGHT)
    with pytest.raises(RequestError) as caught:
        plan("gam.yaml")
    assert str(caught.value) == "`gam.yaml` does not exist\nhint: did you mean `gan.yaml`?"


def test_a_missing_file_of_data() -> None:
    assert wrong("{name: digits}", "{name: arrays, path: ./mydata.npz}") == (
        "there is no file or folder `./mydata.npz`\n"
        "  --> gan.yaml:2:28\n"
        "hint: known here: `gan.yaml`"
    )  # fmt: skip


def test_a_device_that_does_not_exist() -> None:
    assert wrong("seeds: [0, 1, 2]", "seeds: [0, 1, 2]\ndevices: [cpu, gpu]") == (
        "`gpu` is not a device that genloss knows\n"
        "  --> gan.yaml:16:16\n"
        "hint: write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them"
    )


def test_an_empty_file() -> None:
    assert message("") == (
        "the experiment is empty\n"
        "  --> gan.yaml:1:1\n"
        "hint: it needs at least `name`, `data`, `model`, `objectives`, `training` and `seeds`"
    )


def test_a_seed_given_twice() -> None:
    assert wrong("[0, 1, 2]", "[0, 1, 1]") == (
        "the seed `1` is given twice\n"
        "  --> gan.yaml:15:15\n"
        "hint: delete one of them: both runs would be the same"
    )  # fmt: skip


def test_seeds_given_twice() -> None:
    assert message(RIGHT + "seeds: 8\n") == (
        "the key `seeds` is given twice\n"
        "  --> gan.yaml:16:1\n"
        "hint: keep one of them; the first is in line 15"
    )  # fmt: skip


def test_a_name_with_a_path_in_it() -> None:
    assert wrong("name: gan-losses", "name: ../../gan-losses") == (
        "`name`: expected a name of at most 100 letters, digits, `.`, `_` and `-` that begins with a letter "
        "or digit, got `../../gan-losses`\n"
        "  --> gan.yaml:1:7\n"
        "hint: it names a folder, so it is not a path; `gan-losses` would do"
    )


def test_an_objective_with_a_path_in_its_name() -> None:
    assert wrong("  wgan_gp:", "  /etc/wgan:") == (
        "`objectives`: expected a name of at most 100 letters, digits, `.`, `_` and `-` that begins with a "
        "letter or digit, got `/etc/wgan`\n"
        "  --> gan.yaml:8:3\n"
        "hint: it names a folder, so it is not a path; `etc-wgan` would do"
    )


def test_code_in_a_tag() -> None:
    assert wrong("gan-losses", "!!python/object/apply:os.system [ls]") == (
        "the tag `!!python/object/apply:os.system` is not read here\n"
        "  --> gan.yaml:1:7\n"
        "hint: write the plain value, without a tag"
    )


def test_no_utf_8() -> None:
    assert message(RIGHT.encode().replace(b"gan-losses", b"gan-l\xf6sses")) == (
        "the file is not encoded in UTF-8\n"
        "  --> gan.yaml:1:12\n"
        "hint: save it as UTF-8 in your editor"
    )  # fmt: skip


def test_a_bracket_that_is_not_closed() -> None:
    assert wrong("seeds: [0, 1, 2]", "seeds: [0, 1, 2") == (
        "expected `,` or `]`\n"
        "  --> gan.yaml:16:1\n"
        "hint: the bracket is opened in line 15, column 8"
    )  # fmt: skip


def test_a_batch_greater_than_the_data() -> None:
    assert wrong("batch_size: 64", "batch_size: 6400") == (
        "a batch has 6400 examples, and the training set only 1347\n"
        "  --> gan.yaml:13:15\n"
        "hint: set `training.batch_size` to 1347 or less"
    )


def test_a_mistake_in_an_override() -> None:
    assert message(RIGHT, "training.steps=50", "training.stps=50") == (
        "unknown key `stps` in `training`\n"
        "  --> --set training.stps=50\n"
        "hint: did you mean `steps`?"
    )  # fmt: skip


def test_an_option_of_a_term_in_an_override() -> None:
    override = "objectives.wgan_gp.discriminator.gradient_penalty.wieght=1"
    assert message(RIGHT, override) == (
        "loss `gradient_penalty` has no option `wieght`\n"
        f"  --> --set {override}\n"
        "hint: did you mean `weight`?"
    )  # fmt: skip


def swept(values: str) -> str:
    """What is said about a sweep."""
    return message(f"{RIGHT}sweep:\n  {values}\n")


def test_a_misspelt_path_in_a_sweep() -> None:
    assert swept("objectives.wgan_gp.discriminator.gradient_penaly.weight: [1, 10]") == (
        "there is no `gradient_penaly` in `objectives.wgan_gp.discriminator`\n"
        "  --> gan.yaml:17:3\n"
        "hint: did you mean `gradient_penalty`?"
    )  # fmt: skip


def test_a_wrong_value_in_a_sweep() -> None:
    assert swept("objectives.wgan_gp.discriminator.gradient_penalty.target: [0, one]") == (
        'option `target` of loss `gradient_penalty`: expected float ≥ 0, got "one"\n'
        "  --> gan.yaml:17:65\n"
        "hint: `genloss show gradient_penalty` tells what it means"
    )


def test_a_sweep_of_what_objectives_share() -> None:
    assert swept("data.classes: [[0], [1]]") == (
        "`sweep` varies `objectives.…`, `model.…` and `training.…`, not `data.classes`\n"
        "  --> gan.yaml:17:3\n"
        "hint: objectives are compared on the same data, seeds, devices and evaluation"
    )


def test_a_value_given_twice_in_a_sweep() -> None:
    assert swept("training.optimizer.lr: [1e-4, 1e-3, 0.0001]") == (
        "`0.0001` for `training.optimizer.lr` makes the same point of `non_saturating` as `0.0001`\n"
        "  --> gan.yaml:17:39\n"
        "hint: delete one of the two: a value that is there already, or that another key replaces, changes "
        "nothing"
    )


def test_one_value_in_a_sweep_without_a_list() -> None:
    assert swept("training.optimizer.lr: 1e-4") == (
        "`sweep.training.optimizer.lr`: expected a list, got `0.0001`\n"
        "  --> gan.yaml:17:26\n"
        "hint: as in `lr: […]`"
    )  # fmt: skip
