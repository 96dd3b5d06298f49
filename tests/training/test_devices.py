"""Devices: what a name means here, and how the cores are shared out."""

from pathlib import Path

import pytest
import torch

from genloss.errors import DeviceError
from genloss.training import devices
from genloss.training.devices import Device, busy, choose, describe, guess, requested, shares


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many cores and GPUs, with or without Metal."""

    def machine(*, cores: int = 8, gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(devices, "cores", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return machine


class TestNames:
    @pytest.mark.parametrize(
        ("gpus", "mps", "name", "reason"),
        [
            (0, False, "cpu", "neither CUDA nor MPS here"),
            (0, True, "mps", "no CUDA device here"),
            (1, False, "cuda:0", "the first of one GPU"),
            (4, True, "cuda:0", "the first of 4 GPUs"),
        ],
    )
    def test_auto_takes_the_best_that_there_is(self, machine, gpus, mps, name, reason):
        machine(gpus=gpus, mps=mps)
        (device,) = choose(["auto"], runs=1)
        assert (device.name, device.reason) == (name, reason)

    @pytest.mark.parametrize(
        ("asked", "name"),
        [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1"), ("mps", "mps")],
    )
    def test_a_name_is_taken_at_its_word(self, machine, asked, name):
        machine(gpus=2, mps=True)
        (device,) = choose([asked], runs=1)
        assert (device.name, device.reason) == (name, "as asked for")

    def test_a_list_keeps_its_order_and_names_each_once(self, machine):
        machine(gpus=2)
        chosen = choose(["cuda:1", "cuda", "cuda:0", "cpu", "cpu"], runs=9)
        assert [device.name for device in chosen] == ["cuda:1", "cuda:0", "cpu"]

    @pytest.mark.parametrize(
        ("platform", "driver", "auto"),
        [("linux", False, "cpu"), ("linux", True, "cuda:0"), ("darwin", False, "mps")],
    )
    def test_a_guess_needs_no_torch(self, monkeypatch, platform, driver, auto):
        monkeypatch.setattr(devices.sys, "platform", platform)
        monkeypatch.setattr(Path, "exists", lambda _: driver)
        assert guess(["auto"]) == [auto]
        assert guess(["cuda:1", "cpu", "cpu"]) == ["cuda:1", "cpu"]

    def test_a_guess_that_is_right_gives_the_same_shares(self, machine):
        machine(cores=8)
        (device,) = choose(["auto"], runs=3)
        assert shares(["cpu"], runs=3) == {"cpu": (device.workers, device.threads)} == {"cpu": (3, 2)}

    @pytest.mark.parametrize(
        "name", ["gpu", "", "CPU", "cuda:x", "cuda:-1", "cuda:1:2", "meta", "xla", "tpu:0"]
    )
    def test_a_name_that_nobody_knows(self, machine, name):
        machine(gpus=2, mps=True)
        with pytest.raises(DeviceError) as caught:
            choose(["cpu", name], runs=1)
        assert caught.value.message == f"`{name}` is not a device that genloss knows"
        assert caught.value.hint == "write `auto`, `cpu`, `cuda`, `cuda:1`, `mps` or a list of them"

    @pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cuda:99", 8)])
    def test_a_gpu_that_is_not_there(self, machine, name, gpus):
        machine(gpus=gpus)
        with pytest.raises(DeviceError) as caught:
            choose([name], runs=1)
        assert caught.value.message == (
            f"there is no device `{name}` here: torch {torch.__version__} sees {gpus} CUDA devices"
        )
        assert caught.value.hint == "`devices: auto` takes what there is"

    def test_metal_that_is_not_there(self, machine):
        machine(mps=False)
        with pytest.raises(DeviceError, match=r"^there is no device `mps` here"):
            choose(["mps"], runs=1)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
    def test_this_machine_has_no_gpu(self):
        assert choose(["auto"], runs=1)[0].name in ("cpu", "mps")
        with pytest.raises(DeviceError, match="sees 0 CUDA devices"):
            choose(["cuda"], runs=1)


class TestSharing:
    @pytest.mark.parametrize(
        ("cores", "runs", "workers", "threads"),
        [
            (8, 48, 8, 1),
            (8, 8, 8, 1),
            (8, 3, 3, 2),
            (8, 2, 2, 4),
            (8, 1, 1, 8),
            (2, 48, 2, 1),
            (1, 5, 1, 1),
        ],
    )
    def test_the_cpu_gets_a_worker_a_core_and_no_more_than_runs(self, machine, cores, runs, workers, threads):
        machine(cores=cores)
        assert choose(["cpu"], runs=runs) == (Device("cpu", "as asked for", workers, threads),)

    @pytest.mark.parametrize(
        ("workers", "runs", "expected", "threads"),
        [(3, 48, 3, 2), (3, 2, 2, 2), (16, 48, 16, 1), (1, 5, 1, 8)],
    )
    def test_the_user_may_say_how_many(self, machine, workers, runs, expected, threads):
        """That settles the threads of each, however many runs there are."""
        machine(cores=8, gpus=1)
        for name in ("cpu", "cuda"):
            (device,) = choose([name], runs=runs, workers=workers)
            assert (device.workers, device.threads) == (expected, threads)

    def test_a_gpu_gets_one_worker(self, machine):
        machine(cores=8, gpus=2)
        chosen = choose(["cuda:0", "cuda:1"], runs=48)
        assert [(device.workers, device.threads) for device in chosen] == [(1, 4), (1, 4)]

    def test_devices_share_the_cores(self, machine):
        machine(cores=8, gpus=1)
        chosen = choose(["cuda", "cpu"], runs=48)
        assert [(device.workers, device.threads) for device in chosen] == [(1, 1), (8, 1)]

    @pytest.mark.parametrize(
        ("threads", "workers", "runs", "expected"),
        [
            (1, None, 3, (3, 1)),
            (4, None, 9, (2, 4)),
            (8, None, 9, (1, 8)),
            (16, None, 9, (1, 16)),
            (3, 5, 9, (5, 3)),
        ],
    )
    def test_the_user_may_say_how_many_threads(self, machine, threads, workers, runs, expected):
        machine(cores=8)
        (device,) = choose(["cpu"], runs=runs, workers=workers, threads=threads)
        assert (device.workers, device.threads) == expected

    def test_a_small_model_never_gets_all_cores(self, machine):
        machine(cores=64, gpus=1)
        devices = choose(["cpu"], runs=1)
        assert devices[0].threads == 64
        assert [busy(devices, work)[0].threads for work in (1, 3, 1000)] == [1, 3, 64]
        gpu = choose(["cuda"], runs=1)
        assert busy(gpu, 1) == gpu

    @pytest.mark.parametrize(
        ("said", "threads"), [("4", 4), (" 2,1 ", 2), ("", None), ("0", None), ("many", None), ("-1", None)]
    )
    def test_the_usual_variable_counts(self, monkeypatch, said, threads):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert requested() == threads
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert requested() is None

    def test_more_workers_than_there_is_memory_for(self, machine, monkeypatch):
        machine(cores=8)
        monkeypatch.setattr(devices, "memory", lambda: 2**31)
        assert choose(["cpu"], runs=100, workers=8)[0].workers == 8
        assert choose(["cpu"], runs=8, workers=1000)[0].workers == 8, "no more than there are runs"
        with pytest.raises(
            DeviceError, match=r"^100 workers need 25 GiB .* this machine has 2.0 GiB"
        ) as caught:
            choose(["cpu"], runs=1000, workers=100)
        assert caught.value.hint.startswith("`workers` may be 8 here")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (Device("cpu", "as asked for", 2, 1), "device cpu (as asked for), 2 workers of 1 thread each"),
        (Device("cpu", "as asked for", 1, 8), "device cpu (as asked for), 1 worker of 8 threads"),
        (
            Device("cuda:0", "the first of 4 GPUs", 2, 4),
            "device cuda:0 (the first of 4 GPUs), 2 workers of 4 threads each",
        ),
    ],
)
def test_a_device_is_printed_with_its_reason(device, said):
    assert str(device) == said


def test_a_processor_has_no_name_of_its_own():
    assert describe(torch.device("cpu")) == "cpu"
    assert describe(torch.device("mps")) == "mps"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graphics_card_has_one():
    assert describe(torch.device("cuda")) == torch.cuda.get_device_name(0)
