"""The drawings of ``htvm bench --figures``, as SVG; each module draws one from the data of ``driver.sweeps``."""
