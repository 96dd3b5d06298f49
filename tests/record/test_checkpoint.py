"""A checkpoint is whole or it is not used; nothing in one is ever executed."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile

import pytest
import torch

from genloss.record import checkpoint


def state(step):
    return {
        "step": step,
        "model": {"weight": torch.full((4, 3), float(step)), "bias": torch.arange(3)},
        "optimizers": {"network": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}},
        "generators": {"cpu": torch.get_rng_state()},
        "nothing": None,
    }


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of steps 10 and 20."""
    folder = tmp_path / "run" / "checkpoints"
    for step in (10, 20):
        checkpoint.save(folder, step, state(step))
    return folder


def newest(folder):
    return folder / "step-000000020.pt"


class TestSaveAndLoad:
    def test_gives_the_newest_back(self, folder):
        found = checkpoint.load(folder)
        loaded = found.state
        assert found.step == loaded["step"] == 20
        assert found.passed_over == ()
        expected = state(20)
        assert torch.equal(loaded["model"]["weight"], expected["model"]["weight"])
        assert torch.equal(loaded["generators"]["cpu"], expected["generators"]["cpu"])
        assert loaded["optimizers"] == expected["optimizers"]
        assert loaded["nothing"] is None

    def test_is_a_torch_file_beside_its_sha_256(self, folder):
        path = newest(folder)
        assert checkpoint.save(folder, 20, state(20)) == path
        digest = path.with_suffix(".sha256").read_text()
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        content = torch.load(path, weights_only=True)
        assert (content["format"], content["step"]) == (1, 20)

    def test_there_is_none(self, tmp_path):
        assert checkpoint.load(tmp_path / "nothing") == checkpoint.Loaded(0, None)
        assert checkpoint.load(tmp_path) == checkpoint.Loaded(0, None)

    def test_one_that_is_ahead_of_the_journal_is_not_used(self, folder):
        assert checkpoint.load(folder, at_most=20).step == 20
        found = checkpoint.load(folder, at_most=19)
        assert found.step == 10
        assert found.passed_over == ("step-000000020.pt: the journal ends at step 19",)

    def test_keeps_two(self, folder):
        for step in (30, 40):
            checkpoint.save(folder, step, state(step))
        assert files(folder) == [
            "step-000000030.pt",
            "step-000000030.sha256",
            "step-000000040.pt",
            "step-000000040.sha256",
        ]

    def test_saves_a_step_again(self, folder):
        checkpoint.save(folder, 20, {"again": True})
        assert checkpoint.load(folder) == checkpoint.Loaded(20, {"again": True})
        assert len(files(folder)) == 4

    def test_orders_steps_as_numbers(self, tmp_path):
        for step in (999_999_999, 1_000_000_000):
            checkpoint.save(tmp_path, step, {"step": step})
        assert checkpoint.load(tmp_path).step == 1_000_000_000

    def test_those_ahead_are_of_no_use(self, folder):
        checkpoint.save(folder, 5, state(5))
        assert checkpoint.load(folder).step == 5
        assert len(files(folder)) == 2

    def test_what_cannot_be_removed_stays(self, folder):
        replace_by_a_folder(folder / "step-000000010.pt")
        checkpoint.save(folder, 30, state(30))
        assert checkpoint.load(folder).step == 30
        assert (folder / "step-000000010.pt").is_dir()

    def test_leaves_other_files_alone(self, folder):
        (folder / "step-final.pt").write_bytes(b"mine")
        (folder / "notes.txt").write_bytes(b"mine")
        checkpoint.save(folder, 30, state(30))
        assert checkpoint.load(folder).step == 30
        assert {"step-final.pt", "notes.txt"} <= set(files(folder))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(content)


def lose_the_digest(path):
    path.with_suffix(".sha256").unlink()


def empty_the_digest(path):
    path.with_suffix(".sha256").write_bytes(b"")


def damage_the_digest(path):
    content = bytearray(path.with_suffix(".sha256").read_bytes())
    content[0] ^= 0xFF
    path.with_suffix(".sha256").write_bytes(content)


def take_the_digest_of_another(path):
    other = path.with_name("step-000000010.sha256")
    path.with_suffix(".sha256").write_bytes(other.read_bytes())


def sign(path, content):
    """Puts other content in a checkpoint's place, with the digest that belongs to it."""
    path.write_bytes(content)
    path.with_suffix(".sha256").write_text(hashlib.sha256(content).hexdigest())


def replace_by_text(path):
    sign(path, b"no torch file")


def replace_by_nothing(path):
    sign(path, b"")


def replace_by_a_newer_format(path):
    buffer = io.BytesIO()
    torch.save({"format": 2, "step": 20, "state": {}}, buffer)
    sign(path, buffer.getvalue())


def replace_by_another_step(path):
    other = path.with_name("step-000000010.pt")
    sign(path, other.read_bytes())


def replace_by_a_pickle_of_nothing(path):
    sign(path, _archive(path, b"\x80\x02."))


def replace_by_part_of_a_checkpoint(path):
    buffer = io.BytesIO()
    torch.save({"format": 1, "step": 20}, buffer)
    sign(path, buffer.getvalue())


def replace_by_a_number(path):
    buffer = io.BytesIO()
    torch.save({"format": 1, "step": 20, "state": 3}, buffer)
    sign(path, buffer.getvalue())


def _archive(path, content):
    """The checkpoint with another pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith("/data.pkl") else old.read(name))
    return buffer.getvalue()


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = [
    truncate,
    empty,
    flip_a_bit,
    lose_the_digest,
    empty_the_digest,
    damage_the_digest,
    take_the_digest_of_another,
    replace_by_text,
    replace_by_nothing,
    replace_by_a_newer_format,
    replace_by_another_step,
    replace_by_a_pickle_of_nothing,
    replace_by_part_of_a_checkpoint,
    replace_by_a_number,
    replace_by_a_folder,
]


class TestDamaged:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_the_older_one_is_taken(self, folder, damage):
        damage(newest(folder))
        found = checkpoint.load(folder)
        assert found.step == found.state["step"] == 10
        (said,) = found.passed_over
        assert said.startswith("step-000000020.pt: ")

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_when_none_is_whole(self, folder, damage):
        damage(newest(folder))
        lose_the_digest(folder / "step-000000010.pt")
        found = checkpoint.load(folder)
        assert (found.step, found.state) == (0, None)
        assert found.passed_over[1] == "step-000000010.pt: it has no digest"

    def test_saving_again_mends_it(self, folder):
        truncate(newest(folder))
        checkpoint.save(folder, 20, state(20))
        assert checkpoint.load(folder).step == 20


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TestPickles:
    @pytest.fixture(params=["pickle", "torch"])
    def content(self, request, tmp_path):
        """A pickle that makes a folder, bare or as torch writes one."""
        malicious = {"step": 20, "model": Malicious(tmp_path / "executed")}
        buffer = io.BytesIO()
        if request.param == "pickle":
            pickle.dump(malicious, buffer, protocol=2)
        else:
            torch.save(malicious, buffer)
        return buffer.getvalue()

    def test_the_pickle_is_malicious(self, content, tmp_path):
        try:
            pickle.loads(content)
        except pickle.UnpicklingError:  # torch's files are archives
            torch.load(io.BytesIO(content), weights_only=False)
        assert (tmp_path / "executed").is_dir()

    def test_is_not_executed(self, folder, content, tmp_path):
        newest(folder).write_bytes(content)
        assert checkpoint.load(folder).step == 10
        assert not (tmp_path / "executed").exists()

    def test_is_not_executed_though_its_digest_holds(self, folder, content, tmp_path):
        sign(newest(folder), content)
        assert checkpoint.load(folder).step == 10
        sign(folder / "step-000000010.pt", content)
        assert checkpoint.load(folder).state is None
        assert not (tmp_path / "executed").exists()


def test_killed_while_saving_leaves_a_whole_one(folder):
    """The process dies at the second of the two files, as if by a crash between them."""
    code = f"""
        import os, pathlib, signal, torch
        from genloss.record import checkpoint

        publish = checkpoint.publish

        def dying(path, content):
            if path.suffix == ".sha256":
                os.kill(os.getpid(), signal.SIGKILL)
            publish(path, content)

        checkpoint.publish = dying
        checkpoint.save(pathlib.Path({str(folder)!r}), 30, {{"step": 30}})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    assert "step-000000030.pt" in files(folder)
    assert checkpoint.load(folder).step == 20
