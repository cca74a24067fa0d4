/*
 * The floor: the least system calls that start a program in the view of benches/view.toml, written down one by one. Nothing is
 * decided, looked up, checked or cleaned up, nobody supervises, and there is no second wall, so that no launcher that
 * does any of that can be as fast. benches/launch.rs builds it (cc -O2 -static) and measures it beside the others.
 *
 *     floor [-n | -w | -m DIRECTORY LIMIT] PROGRAM [ARGUMENT...]
 *
 * With -w comes what that profile asks for beyond the view: a process 1 that stays beside the program, covers over the
 * records of sandboxes, and Landlock as the second wall. With -n there is no view at all: what a static program costs
 * that starts another and waits for it. -m is that in a new control group below DIRECTORY, whose file LIMIT is written.
 * The program joins it in the way that does not stop the whole machine's forks: by a thread's own number (v1), or by
 * being born there (v2).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(125);
    }
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd, path);
    must(write(fd, text, strlen(text)), path);
    close(fd);
}

/* Three directories get what nobody may enter; where the covers lie makes no difference to what they cost. */
static void cover(void)
{
    static const char *const hidden[] = {"tmp/a", "tmp/b", "tmp/c"};

    for (size_t at = 0; at < sizeof hidden / sizeof *hidden; at++) {
        must(mkdir(hidden[at], 0700), hidden[at]);
        if (at == 0)
            must(mount("tmpfs", hidden[at], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0"), hidden[at]);
        else
            must(mount(hidden[0], hidden[at], NULL, MS_BIND, NULL), hidden[at]);
    }
}

/* The same places as the plan of that profile. */
static void second_wall(void)
{
    static const char *const places[] = {"/", "/dev", "/dev/mqueue", "/dev/shm", "/proc", "/tmp", "/dev/null"};
    struct landlock_ruleset_attr handled = {.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1};
    long rules = syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);

    must(rules, "landlock_create_ruleset");
    for (size_t at = 0; at < sizeof places / sizeof *places; at++) {
        struct landlock_path_beneath_attr rule = {.parent_fd = open(places[at], O_PATH | O_CLOEXEC)};
        /* What a file may be asked for where that is one. */
        rule.allowed_access = at == 6 ? LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE
                                      : handled.handled_access_fs;
        must(rule.parent_fd, places[at]);
        must(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), places[at]);
    }
    must(syscall(SYS_landlock_restrict_self, rules, 0), "landlock_restrict_self");
}

/* Process 1 stays, reaps what is left, and ends with the program's status; the program is its child. */
static void stay(void)
{
    int status;
    pid_t program = fork(), ended;

    must(program, "fork");
    if (program == 0)
        return;
    while ((ended = wait(&status)) != program)
        must(ended, "wait");
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void confine(uid_t uid, gid_t gid, int whole)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"}};
    static const char *const machine[] = {"proc/acpi", "proc/bus", "proc/fs", "proc/irq", "proc/sys"};
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    char text[64];

    /* Its own ids, which it may map itself. */
    put("/proc/self/setgroups", "deny");
    snprintf(text, sizeof text, "%u %u 1", uid, uid);
    put("/proc/self/uid_map", text);
    snprintf(text, sizeof text, "%u %u 1", gid, gid);
    put("/proc/self/gid_map", text);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");

    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    must(mount("/", "/mnt", NULL, MS_BIND | MS_REC, NULL), "/");
    must(chdir("/mnt"), "chdir");
    must(syscall(SYS_mount_setattr, AT_FDCWD, ".", AT_RECURSIVE, &attributes, sizeof attributes), "read-only");
    must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755"), "dev");
    for (size_t at = 0; at < sizeof devices / sizeof *devices; at++) {
        char from[32], to[32];
        snprintf(to, sizeof to, "dev/%s", devices[at]);
        snprintf(from, sizeof from, "/dev/%s", devices[at]);
        must(mknod(to, S_IFREG | 0666, 0), to);
        must(mount(from, to, NULL, MS_BIND, NULL), from);
    }
    for (size_t at = 0; at < sizeof links / sizeof *links; at++)
        must(symlink(links[at][0], links[at][1]), links[at][1]);
    must(mkdir("dev/pts", 0755), "dev/pts");
    must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666"), "devpts");
    must(mkdir("dev/mqueue", 0755), "dev/mqueue");
    must(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mqueue");
    must(mkdir("dev/shm", 01777), "dev/shm");
    must(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "dev/shm");
    must(syscall(SYS_mount_setattr, AT_FDCWD, "dev", 0, &read_only, sizeof read_only), "dev");
    must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "proc");
    for (size_t at = 0; at < sizeof machine / sizeof *machine; at++) {
        /* Not every kernel has all of them. */
        if (mount(machine[at], machine[at], NULL, MS_BIND, NULL) == 0)
            must(syscall(SYS_mount_setattr, AT_FDCWD, machine[at], 0, &read_only, sizeof read_only), machine[at]);
    }
    must(mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"), "tmp");
    if (whole)
        cover();
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount2");
    must(chdir("/"), "chdir");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    if (whole) {
        second_wall();
        stay();
    }
}

int main(int count, char **words)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int status, whole = 0;
    long child;
    char group[4096] = "", file[4400];
    struct clone_args how = {0};
    __u64 kinds = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

    if (count > 1 && words[1][0] == '-') {
        int taken = 1;

        whole = strcmp(words[1], "-w") == 0;
        if (!whole)
            kinds = 0;
        if (strcmp(words[1], "-m") == 0 && count > 4) {
            taken = 3;
            snprintf(group, sizeof group, "%s/floor-%d", words[2], getpid());
            must(mkdir(group, 0755), group);
            snprintf(file, sizeof file, "%s/%s", group, words[3]);
            put(file, "3221225472");
            if (strcmp(words[3], "memory.max") == 0) {
                int directory = open(group, O_PATH | O_CLOEXEC);

                must(directory, group);
                how.flags = CLONE_INTO_CGROUP;
                how.cgroup = (__u64)directory;
            }
            snprintf(file, sizeof file, "%s/tasks", group);
        }
        words += taken;
        count -= taken;
    }
    if (count < 2)
        return 2;
    how.flags |= kinds;
    how.exit_signal = SIGCHLD;
    child = syscall(SYS_clone3, &how, sizeof how);
    must(child, "clone");
    if (child == 0) {
        if (kinds)
            confine(uid, gid, whole);
        if (*group && !how.cgroup)
            put(file, "0");
        execv(words[1], words + 1);
        must(-1, words[1]);
    }
    must(waitpid(child, &status, 0), "waitpid");
    if (*group)
        must(rmdir(group), group);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
