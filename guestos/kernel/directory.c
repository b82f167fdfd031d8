/* Names: directories, paths, and the operations on them. Called between fs_begin() and fs_end(). */
#include "kernel.h"

/* The entry of that name; NULL name: a free one. Returns its offset, or -1. */
static int find(struct inode *dir, const char *name, struct fs_dirent *entry)
{
    for (uint32_t at = 0; at < dir->d.size; at += sizeof(*entry)) {
        inode_read(dir, at, sizeof(*entry), copy_to_kernel, (uint32_t)entry);
        if (name ? entry->inode && !strcmp(entry->name, name) : !entry->inode)
            return (int)at;
    }
    return -1;
}

static int add(struct inode *dir, const char *name, uint32_t number)
{
    struct fs_dirent entry;
    const int at = find(dir, NULL, &entry);
    memset(&entry, 0, sizeof(entry));
    entry.inode = number;
    copy_name(entry.name, name);
    const int n = inode_write(dir, at < 0 ? dir->d.size : (uint32_t)at, sizeof(entry),
                              copy_from_kernel, (uint32_t)&entry);
    return n == sizeof(entry) ? 0 : E_NOSPC;
}

static void erase(struct inode *dir, uint32_t at)
{
    const struct fs_dirent nothing = {0, ""};
    inode_write(dir, at, sizeof(nothing), copy_from_kernel, (uint32_t)&nothing);
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

static bool is_empty(struct inode *dir)
{
    struct fs_dirent entry;
    for (uint32_t at = 0; at < dir->d.size; at += sizeof(entry)) {
        inode_read(dir, at, sizeof(entry), copy_to_kernel, (uint32_t)&entry);
        if (entry.inode && !is_dots(entry.name))
            return false;
    }
    return true;
}

/* The inode that an entry names; NULL: there are too many in use, or it is free: damage. */
static struct inode *inode_named(uint32_t number)
{
    struct inode *ip = inode_get(number);
    if (!ip || ip->d.type != FS_FREE)
        return ip;
    fs_damaged("inode", number);
    inode_put(ip);
    return NULL;
}

/* One step of a path. Gives *dir back, also when it fails. */
static int enter(struct inode **dir, const char *name)
{
    struct fs_dirent entry;
    struct inode *from = *dir, *to = NULL;
    int error = 0;
    if (from->d.type != FS_DIRECTORY)
        error = E_NOTDIR;
    else if (!from->d.links || find(from, name, &entry) < 0)
        error = E_NOENT; /* links 0: the directory was removed */
    else if (!(to = inode_named(entry.inode)))
        error = E_MFILE;
    inode_put(from);
    *dir = to;
    return error;
}

/* Cut the next part off a path into name; false: there is none. */
static int next_part(const char **path, char name[NAME_MAX + 1])
{
    int n = 0;
    while (**path == '/')
        ++*path;
    for (; **path && **path != '/'; ++*path) {
        if (n == NAME_MAX)
            return E_NAME;
        name[n++] = **path;
    }
    name[n] = 0;
    return n;
}

/* Follow a path to its end, or (last not NULL) to the directory that its last part, which goes into
 * last, is in. */
static int follow(const char *path, struct inode **out, char last[NAME_MAX + 1])
{
    char name[NAME_MAX + 1], after[NAME_MAX + 1];
    if (!*path)
        return E_NOENT;
    struct inode *at = *path == '/' ? inode_get(FS_ROOT) : inode_share(current->directory);
    if (!at)
        return E_MFILE;
    int n = next_part(&path, name), error = 0;
    while (n > 0 && !error) {
        const int m = next_part(&path, after);
        if (last && m == 0)
            break;
        error = enter(&at, name);
        copy_name(name, after);
        n = m;
    }
    if (!error && n < 0)
        error = n;
    if (!error && last && at->d.type != FS_DIRECTORY)
        error = E_NOTDIR;
    if (!error && last && !n)
        error = E_EXIST; /* the root has no name */
    if (error && at)
        inode_put(at);
    if (last)
        copy_name(last, name);
    *out = at;
    return error;
}

int path_inode(const char *path, struct inode **out)
{
    return follow(path, out, NULL);
}

/* Name a new inode in dir; takes it back when that fails. */
static int publish(struct inode *dir, const char *name, struct inode *ip)
{
    int error = 0;
    if (ip->d.type == FS_DIRECTORY) {
        error = add(ip, ".", ip->number);
        if (!error)
            error = add(ip, "..", dir->number);
    }
    if (!error)
        error = add(dir, name, ip->number);
    if (!error) {
        ip->d.links = 1;
        inode_update(ip);
    }
    return error;
}

int path_create(const char *path, enum fs_type type, struct inode **out)
{
    char name[NAME_MAX + 1];
    struct fs_dirent entry;
    struct inode *dir, *ip = NULL;
    int error = follow(path, &dir, name);
    if (error)
        return error;
    if (find(dir, name, &entry) >= 0)
        error = E_EXIST;
    else if (!dir->d.links)
        error = E_NOENT;
    else if (!(error = inode_create(type, &ip)) && (error = publish(dir, name, ip))) {
        inode_put(ip);
        ip = NULL;
    }
    inode_put(dir);
    *out = ip;
    return error;
}

int path_link(const char *from, const char *to)
{
    char name[NAME_MAX + 1];
    struct fs_dirent entry;
    struct inode *ip, *dir;
    int error = follow(from, &ip, NULL);
    if (error)
        return error;
    error = follow(to, &dir, name);
    if (!error) {
        if (ip->d.type == FS_DIRECTORY)
            error = E_ISDIR;
        else if (find(dir, name, &entry) >= 0)
            error = E_EXIST;
        else if (!dir->d.links || !ip->d.links)
            error = E_NOENT;
        else if (ip->d.links == UINT16_MAX)
            error = E_LINKS;
        else if (!(error = add(dir, name, ip->number))) {
            ip->d.links++;
            inode_update(ip);
        }
        inode_put(dir);
    }
    inode_put(ip);
    return error;
}

int path_unlink(const char *path)
{
    char name[NAME_MAX + 1];
    struct fs_dirent entry;
    struct inode *dir, *ip = NULL;
    int at, error = follow(path, &dir, name);
    if (error)
        return error == E_EXIST ? E_INVAL : error;
    if (is_dots(name))
        error = E_INVAL;
    else if ((at = find(dir, name, &entry)) < 0)
        error = E_NOENT;
    else if (!(ip = inode_named(entry.inode)))
        error = E_MFILE;
    else if (ip->d.type == FS_DIRECTORY && !is_empty(ip))
        error = E_NOTEMPTY;
    if (!error) {
        erase(dir, (uint32_t)at);
        ip->d.links--;
        inode_update(ip);
    }
    if (ip)
        inode_put(ip);
    inode_put(dir);
    return error;
}
