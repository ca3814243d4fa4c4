"""What a user asks for, a module a verb or two."""
