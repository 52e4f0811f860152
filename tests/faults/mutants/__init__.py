"""The test of the tests: bugs of this field put back into the program, one at a time; each has to be caught."""
