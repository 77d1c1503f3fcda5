"""What commands print: the forms of `-o`, tables, colors, conditions, progress."""
