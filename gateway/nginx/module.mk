# How the nginx module is built; included by the Makefile.
$(MODULE):
	@echo "the nginx module is not built yet"; false
