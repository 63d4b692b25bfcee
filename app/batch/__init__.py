"""Many videos: a manifest of rows, a ledger of what is done, workers here or on a Ray cluster.

The command is `visavis batch` (app/batch/command.py); `app.batch.driver` runs one, `app.batch.work`
is what every worker does.
"""

__all__: list[str] = []
