"""The C back end: ``package.render`` turns a planned module into C files, ``target.CTarget`` prints them."""
