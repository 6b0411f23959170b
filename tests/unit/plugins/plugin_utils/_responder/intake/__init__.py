"""Names of test files are unique within this directory only."""
