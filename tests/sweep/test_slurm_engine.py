"""What the slurm engine asks of SLURM, with stand-ins for its commands; a real one is in tests/services."""

import os
from pathlib import Path

import pytest

from lina_lab.sweep.slurm_engine import requeue_this_job

RECORD = "JobId={number} ArrayJobId=12 ArrayTaskId={task} JobName=lab-x\n   JobState={state} Reason=None\n"


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """`scontrol(shown)` stands in for SLURM's own, which shows that of any job; what it was asked for is returned."""

    def put(shown: str) -> Path:
        (tmp_path / "shown").write_text(shown)
        script = f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n[ "$1" != show ] || cat {tmp_path}/shown\n'
        (tmp_path / "scontrol").write_text(script)
        (tmp_path / "scontrol").chmod(0o755)
        return tmp_path / "asked"

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    return put


def test_a_task_of_an_array_is_requeued_by_its_own_name(scontrol, monkeypatch):
    """The last task has the array's number as its job number."""
    asked = scontrol(RECORD.format(number=12, task=2, state="RUNNING"))
    for name, value in {"JOB_ID": "12", "ARRAY_JOB_ID": "12", "ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert requeue_this_job()
    assert asked.read_text().splitlines() == ["show job 12_2", "requeue 12_2"]


def test_a_job_without_an_array_is_requeued_by_its_number(scontrol, monkeypatch):
    asked = scontrol("JobId=7 JobName=lab JobState=CANCELLED\n   JobState=RUNNING Reason=None\n")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert requeue_this_job()
    assert asked.read_text().splitlines() == ["show job 7", "requeue 7"]


@pytest.mark.parametrize(
    "shown",
    [
        RECORD.format(number=12, task=2, state="CANCELLED"),
        RECORD.format(number=12, task=2, state="CANCELLED") + "\n" + RECORD.format(number=13, task=1, state="RUNNING"),
        "",
    ],
)
def test_a_job_that_was_cancelled_is_not_requeued(scontrol, monkeypatch, shown):
    asked = scontrol(shown)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert not requeue_this_job()
    assert asked.read_text().splitlines() == ["show job 12"]


def test_outside_of_a_job_nothing_is_requeued(scontrol):
    asked = scontrol("")
    assert not requeue_this_job()
    assert not asked.exists()
