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
complete -c sandboxctl -n "__fish_sandboxctl_needs_command" -f -a "delegate" -d 'Give a user a control group subtree, so that limits work without root (to be run as root, once)'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand profiles" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand profiles" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -a "agent base build cgroup-demo chromium container container-demo default desktop-app dev firefox libreoffice memlimit network no-network no-planting no-secrets project shell strict thunderbird unshare-demo vlc web-browser"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -l all -d 'Show the defaults too, of keys that nobody set'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -a "agent base build cgroup-demo chromium container container-demo default desktop-app dev firefox libreoffice memlimit network no-network no-planting no-secrets project shell strict thunderbird unshare-demo vlc web-browser"
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -l verbose -d 'Name also the rules of shipped profiles that find nothing to do on this host'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand schema" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand doctor" -l json -d 'Print JSON'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -l pid -d 'cgroup v2: also move this process of the user, such as a login shell, into the subtree' -r -f
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -l remove -d 'Take the subtree away again'
complete -c sandboxctl -n "__fish_sandboxctl_using_subcommand delegate" -s h -l help -d 'Print help (see more with \'--help\')'
