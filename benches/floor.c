/*
 * The floor: the least system calls that start a program in the view of benches/view.toml, written down one by one. Nothing is
 * decided, looked up, checked or cleaned up, nobody supervises, and there is no second wall, so that no launcher that
 * does any of that can be as fast. benches/launch.rs builds it (cc -O2 -static) and measures it beside the others.
 *
 *     floor [-n] PROGRAM [ARGUMENT...]
 *
 * With -n there is no view either: what a static program costs that starts another and waits for it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mount.h>
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

static void confine(uid_t uid, gid_t gid)
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
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount2");
    must(chdir("/"), "chdir");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

int main(int count, char **words)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int status;
    long child;

    long kinds = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

    if (count > 1 && strcmp(words[1], "-n") == 0) {
        kinds = 0;
        words++;
        count--;
    }
    if (count < 2)
        return 2;
    child = syscall(SYS_clone, kinds | SIGCHLD, 0, 0, 0, 0);
    must(child, "clone");
    if (child == 0) {
        if (kinds)
            confine(uid, gid);
        execv(words[1], words + 1);
        must(-1, words[1]);
    }
    must(waitpid(child, &status, 0), "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
