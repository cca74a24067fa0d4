# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sandboxctl_global_optspecs
    string join \n h/help V/version
end

function __fish_sandboxctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sandboxctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sandboxctl_using_subcommand
    set -l cmd (__fish_sandboxctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -s V -l version -d 'Print version'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "profiles" -d 'List the profiles, where each comes from, and the programs that take it'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "show" -d 'Show what a profile amounts to: every value, the line that says it, and what that line overruled'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "check" -d 'Check profiles: all errors in their files, and whether this host can apply them'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "explain" -d 'Explain a key or a section of the profile language'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "schema" -d 'Print the JSON schema of profiles, for editors'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "doctor" -d 'Say what this host offers to sandboxes, and the exact fix for what it lacks'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "attach" -d 'Put running processes under the limits of a profile'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "join" -d 'Run a program in a running sandbox, under all of its restrictions'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "logs" -d 'Show what a sandbox in the background has written'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "list" -d 'List the running sandboxes; root sees everybody\'s'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "state" -d 'Say everything about a running sandbox: processes, control group, limits and where they were set, namespaces'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "set" -d 'Change limits of a running sandbox'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "ps" -d 'List the processes of running sandboxes, with their numbers outside and inside'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "tree" -d 'Show the processes of running sandboxes as a tree'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "stats" -d 'Say once what running sandboxes use, and of which limits'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "top" -d 'Watch what running sandboxes use: memory against its limits, swap, CPU, processes, pressure, I/O'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "events" -d 'Print what happens to running sandboxes, a line each, until they end or this is interrupted'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "wait" -d 'Wait until a sandbox has ended, and exit with its program\'s status'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "kill" -d 'Send a signal to a sandbox\'s program, or kill all of its processes'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "freeze" -d 'Stop all processes of a sandbox, at once and completely, until they are thawed'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "thaw" -d 'Let a frozen sandbox go on'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "namespaces" -d 'List the namespaces of running sandboxes, and which of them the host or other sandboxes share'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "policy" -d 'Print the policy that a running sandbox was started with, and the lines that say so'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "why" -d 'Say whether a sandbox or a profile allows something, and which line of which file says so'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "closure" -d 'List the files that programs need to start: interpreters, the dynamic loader, libraries'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "diff" -d 'Show what a sandbox changed in directories whose changes are kept apart (`sandbox --copy`)'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "apply" -d 'Carry changes that a sandbox made onto the disk: all of them, or those to the paths that are named'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "discard" -d 'Throw changes that a sandbox made away: all of them, or those to the paths that are named'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "changes" -d 'List what is kept of changes that sandboxes made, and how much room it takes'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "private" -d 'List and remove the private directories of profiles'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "root" -d 'Import, list, show and remove root file systems for `sandbox --root NAME`'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "desktop" -d 'Have icons, files, links and D-Bus start programs in their sandboxes'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "delegate" -d 'Give a user a control group subtree, so that limits work without root (to be run as root, once)'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "group" -d 'Groups with limits that an administrator makes once, and users put their processes into (cgroup v1)'
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "rules" -d 'Work with the rules of sandbox-suid, by which users run a few privileged commands'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand profiles" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand profiles" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -a "agent base build cgroup-demo chromium container container-demo default desktop-app dev document-viewer electron-app file-manager firefox image-editor libreoffice memlimit mpv network no-network no-planting no-secrets project shell strict terminal text-editor thunderbird unshare-demo vlc web-browser"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -l all -d 'Show the defaults too, of keys that nobody set'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -a "agent base build cgroup-demo chromium container container-demo default desktop-app dev document-viewer electron-app file-manager firefox image-editor libreoffice memlimit mpv network no-network no-planting no-secrets project shell strict terminal text-editor thunderbird unshare-demo vlc web-browser"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -l verbose -d 'Name also the rules of shipped profiles that find nothing to do on this host'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand schema" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand doctor" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l profile -d 'The profile whose limits are applied, by its name or, with a slash in it, by its file; later ones win' -r -F
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l set -d 'Set one key over all profiles: limits.memory=3G' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l memory -d 'The most memory that the processes may use together (limits.memory)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l swap -d 'Swap space in addition to the memory; 0 forbids swapping (limits.swap)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l memory-soft -d 'Memory to be pushed back to when the host runs short of it (limits.memory-soft)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l pids -d 'The most processes and threads at the same time (limits.pids)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l cpu -d 'CPU time as a part of one CPU: 150% is one and a half (limits.cpu)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l name -d 'What systemd\'s scope is called, where one is made' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l owner -d 'Refuse a process that is not this user\'s (for sandbox-suid)' -r
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l started -d 'Refuse a process that did not start at this time, in ticks since boot (for sandbox-suid)' -r
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l system-profiles -d 'Take profiles of the system alone: nothing below a home directory is opened'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l caller -d 'The process that calls: the shell that this is typed in'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l tree -d 'Also everything that descends from these processes and runs already'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l limits-only -d 'Leave out rules of the profile that only a program which is started can be given'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l best-effort -d 'Let limits that this host cannot hold pass with a warning'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand join" -l as-root-inside -d 'Be root inside, where the profile allows it (`user.join-as-root`)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand join" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand logs" -s f -l follow -d 'Go on with what is added, until the sandbox ends'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand logs" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand logs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand list" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand list" -l names -d 'Print the names alone, a line each'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand state" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand state" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand state" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand set" -l force -d 'Also where the kernel then kills processes of the sandbox for want of memory (cgroup v2)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand set" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand set" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand ps" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand ps" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand ps" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand tree" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand tree" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand tree" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand stats" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand stats" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand stats" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand top" -l interval -d 'Seconds between two looks' -r
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand top" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand events" -l interval -d 'Seconds between two looks at what the kernel does not announce' -r
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand events" -l json -d 'Print JSON, a line each'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand events" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand wait" -l json -d 'Print how it ended as JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand wait" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand kill" -l signal -d 'The signal, by name or number' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand kill" -l all -d 'Signal every process of the sandbox, not the program alone'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand kill" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand kill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand freeze" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand freeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand thaw" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand thaw" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand namespaces" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand namespaces" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand namespaces" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand policy" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand policy" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand policy" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand why" -l profile -d 'Ask this profile, whatever runs by that name; then only the question follows' -r -F
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand why" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand closure" -l profile -d 'Print a profile in which these paths, read-only, are all that there is'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand closure" -l json -d 'Print JSON: for each path why it is needed, by whom, and the links on the way'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand closure" -l only-needed -d 'Only what the files themselves name, without what is known of programs such as Python'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand closure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand diff" -s p -l patch -d 'Show how the content of text files differs'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand diff" -l all -d 'List also what is in new directories that hold much'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand diff" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand diff" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand apply" -l force -d 'Also over what has changed on the disk since the sandbox was started'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand apply" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand apply" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand discard" -f -a "(sandboxctl list --names 2>/dev/null)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand discard" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand changes" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand changes" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and not __fish_seen_subcommand_from list remove" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and not __fish_seen_subcommand_from list remove" -f -a "list" -d 'List the private directories of profiles ("PATH" = "private"), how much room they take, and when they were last used'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and not __fish_seen_subcommand_from list remove" -f -a "remove" -d 'Remove private directories, with all that programs have left in them'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand private; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and not __fish_seen_subcommand_from import list show remove" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and not __fish_seen_subcommand_from import list show remove" -f -a "import" -d 'Unpack an archive or an image into the cache of roots'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and not __fish_seen_subcommand_from import list show remove" -f -a "list" -d 'List the imported roots'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and not __fish_seen_subcommand_from import list show remove" -f -a "show" -d 'Show what is known about a root: where it came from, and how its image is to be run'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and not __fish_seen_subcommand_from import list show remove" -f -a "remove" -d 'Remove roots'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -l name -d 'What the root is to be called; otherwise as the image or the file is' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -l image -d 'Which image, where there are several: its name or its digest' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -l ids -d 'Whose the files become' -r -f -a "own\t'Everything becomes the caller\'s'
kept\t'Owners stay'
subordinate\t'Owners become subordinate ids'"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -l max-size -d 'The most that it may come to, unpacked' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -l max-entries -d 'The most files, directories and links in it' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from remove" -l unused -d 'All that have no name and that nobody uses'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand root; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -f -a "install" -d 'Have programs started in their sandboxes from menus, files, links, the session\'s start and D-Bus'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -f -a "remove" -d 'Take the copies away again, and put back what they replaced'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -f -a "refresh" -d 'Follow what packages have changed since: new, changed and removed entries'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -f -a "list" -d 'List the copies, and the programs that could have some'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and not __fish_seen_subcommand_from install remove refresh list check" -f -a "check" -d 'Find what would start a program without its sandbox, or not at all; exit status 1 if there is any'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l all -d 'All that have a profile, also those installed later'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l shims -d 'Also commands of the same names, in ~/.local/bin (with --system /usr/local/bin)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l follow -d 'Also units of systemd that run `refresh` when packages change entries, and when a session begins'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l system -d 'For all users, in /usr/local/share (as root)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l force -d 'Also what was changed by hand since, and commands that are not ours'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -l all -d 'Everything that was written'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -l system -d 'For all users, in /usr/local/share (as root)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -l force -d 'Also what was changed by hand since, and commands that are not ours'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from refresh" -l system -d 'For all users, in /usr/local/share (as root)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from refresh" -l dry-run -d 'Say what would be done, and do nothing'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from refresh" -l force -d 'Also what was changed by hand since, and commands that are not ours'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from refresh" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from refresh" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from list" -l system -d 'Those for all users'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from check" -l system -d 'Those for all users'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand desktop; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -l pid -d 'cgroup v2: also move this process of the user, such as a login shell, into the subtree' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -l remove -d 'Take the subtree away again'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and not __fish_seen_subcommand_from make remove list join" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and not __fish_seen_subcommand_from make remove list join" -f -a "make" -d 'Make a group with limits that a user may join (as root; cgroup v1)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and not __fish_seen_subcommand_from make remove list join" -f -a "remove" -d 'Remove a group that nobody is in (as root)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and not __fish_seen_subcommand_from make remove list join" -f -a "list" -d 'List the groups, and how many processes are in each'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and not __fish_seen_subcommand_from make remove list join" -f -a "join" -d 'Put processes of yours into a group'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l user -d 'Who may join' -r -f -a "(__fish_complete_users)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l profile -d 'The profile whose limits are applied, by its name or, with a slash in it, by its file; later ones win' -r -F
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l set -d 'Set one key over all profiles: limits.memory=3G' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l memory -d 'The most memory that the processes may use together (limits.memory)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l swap -d 'Swap space in addition to the memory; 0 forbids swapping (limits.swap)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l memory-soft -d 'Memory to be pushed back to when the host runs short of it (limits.memory-soft)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l pids -d 'The most processes and threads at the same time (limits.pids)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l cpu -d 'CPU time as a part of one CPU: 150% is one and a half (limits.cpu)' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -l system-profiles -d 'Take profiles of the system alone: nothing below a home directory is opened'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from make" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from join" -l caller -d 'The process that calls: the shell that this is typed in'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand group; and __fish_seen_subcommand_from join" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -f -a "list" -d 'List all rules: who may use them, what they run and as whom'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -f -a "check" -d 'Find faults and dangerous rules: a writable program, a shell with arguments of the caller\'s, a missing account'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -f -a "test" -d 'Say what would come of it if USER called the rule NAME with these arguments, and why; nothing is run'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -f -a "import" -d 'Turn a suid.conf into rules, and print them; comments say what changed and why'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and not __fish_seen_subcommand_from list check test import install-link" -f -a "install-link" -d 'Make a symbolic link to sandbox-suid with the name of a rule, so that users call the rule by it (as root)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from test" -l file -d 'A file of rules that is not installed yet' -r -F
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from install-link" -l directory -d 'Where' -r -f -a "(__fish_complete_directories)"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand rules; and __fish_seen_subcommand_from install-link" -s h -l help -d 'Print help'
