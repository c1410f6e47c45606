"""What `meshcache plan` predicts from a configuration and a rate of handshakes, before anything is started.

`predict` does the sums, with the numbers of `constants` and those of the configuration. Imports `config`, and of the
core what a session costs (`cache`, `policy`, `values`); `cli` shows it. It measures nothing and asks no node.
"""
