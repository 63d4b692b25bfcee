"""Doing a task with a worker, whole or in parts; what goes wrong is told, never raised."""

import os
import time
import traceback

from app.batch.segments import do_part
from app.batch.work import Failure, Outcome, Task, Worker
from weights.errors import OutputError, VisavisError


def do_task(worker: Worker, task: Task) -> Outcome:
    """Do a task; what goes wrong is in the outcome."""
    started = time.perf_counter()
    made, cuts, failure = None, (), None
    try:
        if task.kind == "whole":
            made = worker.make(task.item, task.key)
        else:
            made, cuts = do_part(worker, task)
    except OutputError as error:
        failure = Failure("output", str(error))
    except VisavisError as error:
        failure = Failure("input", str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"
        failure = Failure("fault", f"{type(error).__name__}: {error} (at {place})")
    seconds = time.perf_counter() - started
    return Outcome(task, worker.name, seconds, made, cuts, failure)
