"""What tests of several rooms need: waiting, processes, certificates, files for a mesh, real TLS clients."""
