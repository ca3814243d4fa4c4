"""What the machine at hand has room for, and its allocator."""
