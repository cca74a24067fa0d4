_sandboxctl() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="sandboxctl"
                ;;
            sandboxctl,apply)
                cmd="sandboxctl__subcmd__apply"
                ;;
            sandboxctl,attach)
                cmd="sandboxctl__subcmd__attach"
                ;;
            sandboxctl,changes)
                cmd="sandboxctl__subcmd__changes"
                ;;
            sandboxctl,check)
                cmd="sandboxctl__subcmd__check"
                ;;
            sandboxctl,closure)
                cmd="sandboxctl__subcmd__closure"
                ;;
            sandboxctl,delegate)
                cmd="sandboxctl__subcmd__delegate"
                ;;
            sandboxctl,desktop)
                cmd="sandboxctl__subcmd__desktop"
                ;;
            sandboxctl,diff)
                cmd="sandboxctl__subcmd__diff"
                ;;
            sandboxctl,discard)
                cmd="sandboxctl__subcmd__discard"
                ;;
            sandboxctl,doctor)
                cmd="sandboxctl__subcmd__doctor"
                ;;
            sandboxctl,events)
                cmd="sandboxctl__subcmd__events"
                ;;
            sandboxctl,explain)
                cmd="sandboxctl__subcmd__explain"
                ;;
            sandboxctl,freeze)
                cmd="sandboxctl__subcmd__freeze"
                ;;
            sandboxctl,group)
                cmd="sandboxctl__subcmd__group"
                ;;
            sandboxctl,join)
                cmd="sandboxctl__subcmd__join"
                ;;
            sandboxctl,kill)
                cmd="sandboxctl__subcmd__kill"
                ;;
            sandboxctl,list)
                cmd="sandboxctl__subcmd__list"
                ;;
            sandboxctl,logs)
                cmd="sandboxctl__subcmd__logs"
                ;;
            sandboxctl,namespaces)
                cmd="sandboxctl__subcmd__namespaces"
                ;;
            sandboxctl,policy)
                cmd="sandboxctl__subcmd__policy"
                ;;
            sandboxctl,private)
                cmd="sandboxctl__subcmd__private"
                ;;
            sandboxctl,profiles)
                cmd="sandboxctl__subcmd__profiles"
                ;;
            sandboxctl,ps)
                cmd="sandboxctl__subcmd__ps"
                ;;
            sandboxctl,root)
                cmd="sandboxctl__subcmd__root"
                ;;
            sandboxctl,rules)
                cmd="sandboxctl__subcmd__rules"
                ;;
            sandboxctl,schema)
                cmd="sandboxctl__subcmd__schema"
                ;;
            sandboxctl,set)
                cmd="sandboxctl__subcmd__set"
                ;;
            sandboxctl,show)
                cmd="sandboxctl__subcmd__show"
                ;;
            sandboxctl,state)
                cmd="sandboxctl__subcmd__state"
                ;;
            sandboxctl,stats)
                cmd="sandboxctl__subcmd__stats"
                ;;
            sandboxctl,thaw)
                cmd="sandboxctl__subcmd__thaw"
                ;;
            sandboxctl,top)
                cmd="sandboxctl__subcmd__top"
                ;;
            sandboxctl,tree)
                cmd="sandboxctl__subcmd__tree"
                ;;
            sandboxctl,wait)
                cmd="sandboxctl__subcmd__wait"
                ;;
            sandboxctl,why)
                cmd="sandboxctl__subcmd__why"
                ;;
            sandboxctl__subcmd__desktop,check)
                cmd="sandboxctl__subcmd__desktop__subcmd__check"
                ;;
            sandboxctl__subcmd__desktop,install)
                cmd="sandboxctl__subcmd__desktop__subcmd__install"
                ;;
            sandboxctl__subcmd__desktop,list)
                cmd="sandboxctl__subcmd__desktop__subcmd__list"
                ;;
            sandboxctl__subcmd__desktop,refresh)
                cmd="sandboxctl__subcmd__desktop__subcmd__refresh"
                ;;
            sandboxctl__subcmd__desktop,remove)
                cmd="sandboxctl__subcmd__desktop__subcmd__remove"
                ;;
            sandboxctl__subcmd__group,join)
                cmd="sandboxctl__subcmd__group__subcmd__join"
                ;;
            sandboxctl__subcmd__group,list)
                cmd="sandboxctl__subcmd__group__subcmd__list"
                ;;
            sandboxctl__subcmd__group,make)
                cmd="sandboxctl__subcmd__group__subcmd__make"
                ;;
            sandboxctl__subcmd__group,remove)
                cmd="sandboxctl__subcmd__group__subcmd__remove"
                ;;
            sandboxctl__subcmd__private,list)
                cmd="sandboxctl__subcmd__private__subcmd__list"
                ;;
            sandboxctl__subcmd__private,remove)
                cmd="sandboxctl__subcmd__private__subcmd__remove"
                ;;
            sandboxctl__subcmd__root,import)
                cmd="sandboxctl__subcmd__root__subcmd__import"
                ;;
            sandboxctl__subcmd__root,list)
                cmd="sandboxctl__subcmd__root__subcmd__list"
                ;;
            sandboxctl__subcmd__root,remove)
                cmd="sandboxctl__subcmd__root__subcmd__remove"
                ;;
            sandboxctl__subcmd__root,show)
                cmd="sandboxctl__subcmd__root__subcmd__show"
                ;;
            sandboxctl__subcmd__rules,check)
                cmd="sandboxctl__subcmd__rules__subcmd__check"
                ;;
            sandboxctl__subcmd__rules,import)
                cmd="sandboxctl__subcmd__rules__subcmd__import"
                ;;
            sandboxctl__subcmd__rules,install-link)
                cmd="sandboxctl__subcmd__rules__subcmd__install__subcmd__link"
                ;;
            sandboxctl__subcmd__rules,list)
                cmd="sandboxctl__subcmd__rules__subcmd__list"
                ;;
            sandboxctl__subcmd__rules,test)
                cmd="sandboxctl__subcmd__rules__subcmd__test"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        sandboxctl)
            opts="-h -V --help --version profiles show check explain schema doctor attach join logs list state set ps tree stats top events wait kill freeze thaw namespaces policy why closure diff apply discard changes private root desktop delegate group rules"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__apply)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --force --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__attach)
            opts="-h --profile --set --memory --swap --memory-soft --pids --cpu --system-profiles --caller --tree --name --limits-only --best-effort --owner --started --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --profile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --memory)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --swap)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --memory-soft)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --pids)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --cpu)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --name)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --owner)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --started)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__changes)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__check)
            if [[ ${cur} != -* ]] ; then
                COMPREPLY=( $(compgen -W "agent base build cgroup-demo chromium container container-demo default desktop-app dev document-viewer electron-app file-manager firefox image-editor libreoffice memlimit mpv network no-network no-planting no-secrets project shell strict terminal text-editor thunderbird unshare-demo vlc web-browser" -- "${cur}") $(compgen -f -- "${cur}") )
                return 0
            fi
            opts="-h --json --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__closure)
            opts="-h --profile --json --only-needed --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__delegate)
            opts="-h --remove --pid --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --pid)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop)
            opts="-h --help install remove refresh list check"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop__subcmd__check)
            opts="-h --system --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop__subcmd__install)
            opts="-h --all --shims --follow --system --dry-run --force --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop__subcmd__list)
            opts="-h --system --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop__subcmd__refresh)
            opts="-h --system --dry-run --force --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__desktop__subcmd__remove)
            opts="-h --all --system --dry-run --force --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__diff)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-p -h --patch --all --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__discard)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__doctor)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__events)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --interval --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__explain)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__freeze)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__group)
            opts="-h --help make remove list join"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__group__subcmd__join)
            opts="-h --caller --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__group__subcmd__list)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__group__subcmd__make)
            opts="-h --user --profile --set --memory --swap --memory-soft --pids --cpu --system-profiles --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --user)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --profile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --memory)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --swap)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --memory-soft)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --pids)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --cpu)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__group__subcmd__remove)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__join)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --as-root-inside --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__kill)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --signal --all --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --signal)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__list)
            opts="-h --json --names --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__logs)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-f -h --follow --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__namespaces)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__policy)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__private)
            opts="-h --help list remove"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__private__subcmd__list)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__private__subcmd__remove)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__profiles)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__ps)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__root)
            opts="-h --help import list show remove"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__root__subcmd__import)
            opts="-h --name --image --ids --max-size --max-entries --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --name)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --image)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --ids)
                    COMPREPLY=($(compgen -W "own kept subordinate" -- "${cur}"))
                    return 0
                    ;;
                --max-size)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                --max-entries)
                    COMPREPLY=("${cur}")
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o nospace
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__root__subcmd__list)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__root__subcmd__remove)
            opts="-h --unused --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__root__subcmd__show)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules)
            opts="-h --help list check test import install-link"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules__subcmd__check)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules__subcmd__import)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules__subcmd__install__subcmd__link)
            opts="-h --directory --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --directory)
                    COMPREPLY=()
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o plusdirs
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules__subcmd__list)
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__rules__subcmd__test)
            opts="-h --file --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --file)
                    local oldifs
                    if [ -n "${IFS+x}" ]; then
                        oldifs="$IFS"
                    fi
                    IFS=$'\n'
                    COMPREPLY=($(compgen -f "${cur}"))
                    if [ -n "${oldifs+x}" ]; then
                        IFS="$oldifs"
                    fi
                    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
                        compopt -o filenames
                    fi
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__schema)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__set)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --force --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__show)
            if [[ ${cur} != -* ]] ; then
                COMPREPLY=( $(compgen -W "agent base build cgroup-demo chromium container container-demo default desktop-app dev document-viewer electron-app file-manager firefox image-editor libreoffice memlimit mpv network no-network no-planting no-secrets project shell strict terminal text-editor thunderbird unshare-demo vlc web-browser" -- "${cur}") $(compgen -f -- "${cur}") )
                return 0
            fi
            opts="-h --json --all --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__state)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__stats)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__thaw)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__top)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --interval --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__tree)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__wait)
            if [[ ${cur} != -* && ${prev} != --* ]] ; then
                COMPREPLY=( $(compgen -W "$(sandboxctl list --names 2>/dev/null)" -- "${cur}") )
                return 0
            fi
            opts="-h --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        sandboxctl__subcmd__why)
            opts="-h --profile --json --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --profile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _sandboxctl -o nosort -o bashdefault -o default sandboxctl
else
    complete -F _sandboxctl -o bashdefault -o default sandboxctl
fi
