"""What people see, for any task."""
