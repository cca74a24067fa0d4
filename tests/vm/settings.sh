# shellcheck shell=bash disable=SC2034,SC2154
# What `build-image` and `run` share. Sourced by bash, with $here set to this folder.

suite=${SANDBOX_VM_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")}
cache=${SANDBOX_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sandbox-test-vm}
image=$cache/$suite

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 125
}

usage() { # the comment at the head of the calling script
	sed -n '2,/^[^#]/{/^[^#]/d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 125
}

# Everything the image is made from; an image with another fingerprint is stale.
# What `run` brings along at each boot is left out on purpose.
fingerprint() {
	{
		cat "$here/settings.sh" "$here/build-image" "$here/fill-image" "$here/guest/initramfs"
		echo "$suite ${SANDBOX_VM_PACKAGES:-}"
	} | sha256sum | cut -d' ' -f1
}

# set_machine tcg|kvm: the qemu command in $machine, the kernel's arguments in $arguments.
set_machine() {
	machine=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -machine q35)
	arguments='console=ttyS0 quiet panic=-1 oops=panic 8250.nr_uarts=1 no_timer_check audit=0'
	arguments+=' lsm=landlock,yama mitigations=off init_on_alloc=0 cryptomgr.notests random.trust_cpu=on'
	case $1 in
	kvm) machine+=(-accel kvm -cpu "${SANDBOX_VM_CPU:-host}") ;;
	tcg)
		# A simple processor is cheap to emulate; rdrand spares the wait for entropy.
		# Fixed addresses let qemu reuse translated code from one exec to the next.
		machine+=(-accel tcg -cpu "${SANDBOX_VM_CPU:-qemu64,+rdrand}")
		arguments+=' norandmaps nokaslr'
		;;
	*) die "unknown accelerator: $1" ;;
	esac
}
