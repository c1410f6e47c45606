"""What `meshcache doctor` looks at: this machine, the file, the seeds, the running node, its mesh. Changes nothing."""
