complete -c sandbox -l profile -d 'The profile to apply, by its name or, with a slash in it, by its file; later ones win' -r -F -a "agent base build cgroup-demo chromium container container-demo default desktop-app dev document-viewer electron-app file-manager firefox image-editor libreoffice memlimit mpv network no-network no-planting no-secrets project shell strict terminal text-editor thunderbird unshare-demo vlc web-browser"
complete -c sandbox -l set -d 'Set one key over all profiles: limits.memory=3G' -r -f
complete -c sandbox -l name -d 'What this run is called, in its reports and for `sandboxctl`' -r -f
complete -c sandbox -l app-id -d 'The desktop entry that PROGRAM is started from, by its name without `.desktop`' -r -f
complete -c sandbox -l memory -d 'The most memory that the program and its children may use together (limits.memory)' -r -f
complete -c sandbox -l swap -d 'Swap space in addition to the memory; 0 forbids swapping (limits.swap)' -r -f
complete -c sandbox -l memory-soft -d 'Memory to be pushed back to when the host runs short of it (limits.memory-soft)' -r -f
complete -c sandbox -l pids -d 'The most processes and threads at the same time (limits.pids)' -r -f
complete -c sandbox -l cpu -d 'CPU time as a part of one CPU: 150% is one and a half (limits.cpu)' -r -f
complete -c sandbox -l ro -d 'The path can be read and executed, not changed ("PATH" = "read-only")' -r -F
complete -c sandbox -l rw -d 'The path can be changed as its own mode allows ("PATH" = "read-write")' -r -F
complete -c sandbox -l hide -d 'The path cannot be reached ("PATH" = "hidden")' -r -F
complete -c sandbox -l tmpfs -d 'An empty file system in memory, gone afterwards ("PATH" = "tmpfs")' -r -f -a "(__fish_complete_directories)"
complete -c sandbox -l copy -d 'The directory may be changed, but what is on the disk stays as it is until you say so ("PATH" = "overlay")' -r -f -a "(__fish_complete_directories)"
complete -c sandbox -l bind -d 'Show the host\'s SRC at DST, to be read and written ("DST" = { bind = "SRC", access = "read-write" })' -r -F
complete -c sandbox -l root -d 'What the program sees as `/`: an imported root ("/" = { root = "NAME" }), an archive, or a directory' -r -F
complete -c sandbox -l net -d 'Which network the program has: the caller\'s, or loopback only (network.mode)' -r -f -a "host\t''
none\t''"
complete -c sandbox -l hostname -d 'The host name seen inside (namespaces.hostname)' -r -f -a "(__fish_print_hostnames)"
complete -c sandbox -l chdir -d 'Where the program starts, as seen inside (process.working-directory)' -r -f -a "(__fish_complete_directories)"
complete -c sandbox -l env -d 'Set a variable for the program (K = "V" in `[environment]`)' -r -f
complete -c sandbox -l unset-env -d 'Keep a variable, or all that a `*` matches, from the program (K = false)' -r -f
complete -c sandbox -l notify -d 'When to tell by a desktop notification that a limit struck, or that PROGRAM could not be started' -r -f -a "auto\t'Where nobody would see a message: standard error is no terminal, there is a session bus, and the program was started by a desktop entry, without any terminal, or on a display with none of the standard streams on one'
always\t'In any case'
never\t'Not at all'"
complete -c sandbox -l documents -d 'Show the program the files and directories that its arguments name: `all`, `none`, FIRST, or `FIRST,REST`' -r
complete -c sandbox -l no-profile -d 'Take no profile: only what this command line says holds'
complete -c sandbox -l system-profiles -d 'Take profiles of the system alone: nothing below a home directory is opened'
complete -c sandbox -l best-effort -d 'Let rules that this host cannot apply pass with a warning, where they only add strictness'
complete -c sandbox -l new -d 'Start a sandbox of its own even if the program runs already and its profile would have it join that one'
complete -c sandbox -l dry-run -d 'Print the plan, step by step with who asked for it, and run nothing'
complete -c sandbox -l report -d 'Print a report at the end: exit status, peak memory, limits that were hit'
complete -c sandbox -l json -d 'Print the plan (--dry-run) or the report at the end as JSON'
complete -c sandbox -l background -d 'Leave it running, and come back as soon as its program has been executed; prints the name'
complete -c sandbox -l quiet -d 'Print errors only, no warnings'
complete -c sandbox -l verbose -d 'Print what is done'
complete -c sandbox -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandbox -s V -l version -d 'Print version'
