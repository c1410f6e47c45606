"""What `meshcache plan` predicts from a configuration and a rate of handshakes, before anything is started."""
