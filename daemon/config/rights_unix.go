//go:build unix

package config

import (
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// serviceGroup is the private group of the service's account, as the packages make it.
const serviceGroup = "profitd"

// rights says who may own, write and read the configuration.
type rights struct {
	owner  int // besides root
	groups map[int]bool
}

func newRights(opts Options) *rights {
	r := &rights{owner: opts.Owner, groups: map[int]bool{0: true}}
	if r.owner == 0 {
		r.owner = os.Geteuid()
	}
	if group := opts.Group; group != 0 {
		r.groups[group] = true
	} else if gid, found := privateGroup(); found {
		r.groups[gid] = true
	}
	return r
}

// privateGroup is the one group whose members are no other people: that of the running account if it is called or
// numbered as the account is; for root, the service's. A group such as "users" is nobody's private group.
func privateGroup() (gid int, found bool) {
	if os.Geteuid() == 0 {
		group, err := user.LookupGroup(serviceGroup)
		if err != nil {
			return 0, false
		}
		gid, err = strconv.Atoi(group.Gid)
		return gid, err == nil
	}
	gid = os.Getegid()
	if gid == os.Geteuid() {
		return gid, true // a dynamic user of systemd stands in no file
	}
	account, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		return 0, false
	}
	group, err := user.LookupGroupId(strconv.Itoa(gid))
	return gid, err == nil && group.Name == account.Username
}

// check refuses what others can change or, where private, read, with the command that mends it. A folder that anybody
// may write passes if it is sticky, as /tmp is: nobody can replace there what is root's.
func (r *rights) check(path string, info fs.FileInfo, private bool) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if r == nil || !ok {
		return nil
	}
	var reasons, commands []string
	if uid := int(stat.Uid); uid != 0 && uid != r.owner {
		reasons = append(reasons, "it belongs to another account")
		commands = append(commands, "chown -h "+strconv.Itoa(r.owner)+" "+quote(path))
	}
	group, others := "", ""
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0 || mode.IsDir() && mode&fs.ModeSticky != 0: // the mode of a link means nothing
	case mode.Perm()&0o022 != 0:
		reasons = append(reasons, "others can change it")
		group, others = "w", "w"
	}
	if mode.IsRegular() && private && (mode.Perm()&0o004 != 0 || mode.Perm()&0o040 != 0 && !r.groups[int(stat.Gid)]) {
		reasons = append(reasons, "others can read it, and it may hold keys")
		others += "r"
		if !r.groups[int(stat.Gid)] {
			group += "r"
		}
	}
	if group+others != "" {
		change := "o-" + others
		if group != "" {
			change = "g-" + group + "," + change
		}
		commands = append(commands, "chmod "+change+" "+quote(path))
	}
	if reasons == nil {
		return nil
	}
	return &fileError{path, "cannot be trusted: " + strings.Join(reasons, ", ") + "; run: " + strings.Join(commands, " && "), nil}
}

// quote writes a path as a shell takes it.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// openFile opens a file that walk has resolved. It does not wait for the other end of a pipe, nor follow a link that
// was put there meanwhile.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}
