# Builds static programs and installs them with everything that belongs to them.
#
#   make && sudo make install                       into /usr/local
#   make install DESTDIR=/tmp/package PREFIX=/usr   for a package
#   sudo make install-suid                          the setuid program too, for sandbox-suid(8)

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
INSTALL ?= install

bin      = $(DESTDIR)$(PREFIX)/bin
share    = $(DESTDIR)$(PREFIX)/share
programs = sandbox sandboxctl

.PHONY: all install install-suid uninstall

all:
	$(CARGO) xtask dist

install:
	@test -x target/dist/sandbox || { echo 'run `make` first' >&2; exit 1; }
	$(INSTALL) -d $(bin) $(share)/man/man1 $(share)/man/man5 $(share)/sandbox/profiles \
		$(share)/sandbox/schema $(share)/sandbox/apparmor $(share)/bash-completion/completions \
		$(share)/zsh/site-functions $(share)/fish/vendor_completions.d
	for p in $(programs); do \
		$(INSTALL) -m 0755 target/dist/$$p $(bin)/$$p && \
		$(INSTALL) -m 0644 man/$$p.1 $(share)/man/man1/ && \
		$(INSTALL) -m 0644 completions/$$p.bash $(share)/bash-completion/completions/$$p && \
		$(INSTALL) -m 0644 completions/_$$p $(share)/zsh/site-functions/ && \
		$(INSTALL) -m 0644 completions/$$p.fish $(share)/fish/vendor_completions.d/ || exit 1; \
	done
	$(INSTALL) -m 0644 man/sandbox.toml.5 $(share)/man/man5/
	$(INSTALL) -m 0644 schema/profile.json $(share)/sandbox/schema/
	$(INSTALL) -m 0644 profiles/*.toml $(share)/sandbox/profiles/
	$(INSTALL) -m 0644 packaging/apparmor/sandbox-launcher $(share)/sandbox/apparmor/

# Not part of `install`: a setuid program is there only if an administrator wants it.
install-suid:
	@test -x target/dist/sandbox-suid || { echo 'run `make` first' >&2; exit 1; }
	$(INSTALL) -d $(bin) $(share)/man/man8
	$(INSTALL) -m 4755 target/dist/sandbox-suid $(bin)/
	$(INSTALL) -m 0644 man/sandbox-suid.8 $(share)/man/man8/

uninstall:
	rm -f $(bin)/sandbox-suid $(share)/man/man8/sandbox-suid.8
	for p in $(programs); do \
		rm -f $(bin)/$$p $(share)/man/man1/$$p.1 $(share)/bash-completion/completions/$$p \
			$(share)/zsh/site-functions/_$$p $(share)/fish/vendor_completions.d/$$p.fish; \
	done
	rm -f $(share)/man/man5/sandbox.toml.5
	rm -rf $(share)/sandbox
