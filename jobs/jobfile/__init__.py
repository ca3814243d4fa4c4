"""What a job is: its schema, how it is read and checked, and the job files that ship."""
