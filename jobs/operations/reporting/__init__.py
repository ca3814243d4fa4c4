"""The report of a sweep: one page that is opened anywhere, with the trial table and the job beside it."""
