"""The methods that compare inner stations of teacher and student."""
