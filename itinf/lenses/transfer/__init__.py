"""Transfer: states read by lenses that were fitted at other depths."""
