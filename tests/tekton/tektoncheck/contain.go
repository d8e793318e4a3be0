package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// contain is the subcommand by which this program becomes a container.
const contain = "contain"

// forbidden is the exit code if this machine doesn't allow a container: a container's own is never this high here.
const forbidden = 197

// box is a container: a root folder with only mounts, and an anonymous user without capabilities or privilege
// escalation.
type box struct {
	Root        string
	ReadOnly    bool
	Mounts      []mount
	User        int
	Folder      string
	Environment []string
	Words       []string
}

type mount struct {
	Source   string
	Target   string
	ReadOnly bool
}

// Devices that every container has.
var devices = []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}

// run starts the box and waits for its end. Root creates a mount namespace; others need a user namespace around it, in
// which they are the box's user.
func (b box) run(log io.Writer) (int, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return -1, err
	}
	self, err := os.Executable()
	if err != nil {
		return -1, err
	}
	command := exec.Command(self, contain, string(text))
	command.Stdout, command.Stderr = log, log
	command.Env = []string{}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: b.User, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: b.User, HostID: os.Getgid(), Size: 1}}
		// The capabilities for mounting are inherited by this program.
		command.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT}
	}
	err = command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() != forbidden {
		return ended.ExitCode(), nil
	}
	if err != nil {
		return -1, fmt.Errorf("a container can't be made on this machine: %w", err)
	}
	return 0, nil
}

// enter mounts the box's content, enters it, and becomes its program.
func enter(words []string) error {
	runtime.LockOSThread()
	var b box
	if err := json.Unmarshal([]byte(words[0]), &b); err != nil {
		return err
	}
	syscall.Umask(0)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintf(os.Stderr, "mounts can't be made private: %v\n", err)
		os.Exit(forbidden)
	}
	if err := unix.Mount("tmpfs", b.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		fmt.Fprintf(os.Stderr, "tmpfs on %s: %v\n", b.Root, err)
		os.Exit(forbidden)
	}
	for _, folder := range []string{"proc", "tmp", strings.TrimPrefix(b.Folder, "/")} {
		if err := os.MkdirAll(filepath.Join(b.Root, folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(b.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	mounts := b.Mounts
	for _, device := range devices {
		mounts = append(mounts, mount{Source: device, Target: device})
	}
	for _, is := range mounts {
		if err := is.make(b.Root); err != nil {
			return fmt.Errorf("%s on %s: %w", is.Source, is.Target, err)
		}
	}
	if err := unix.Mount("/proc", filepath.Join(b.Root, "proc"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if b.ReadOnly {
		// A read-only image has no writable /tmp either: only volumes can be written.
		if err := unix.Mount("", b.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("the root can't be made read only: %w", err)
		}
	}
	if err := unix.Chroot(b.Root); err != nil {
		return err
	}
	folder := b.Folder
	if folder == "" {
		folder = "/"
	}
	if err := unix.Chdir(folder); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	if os.Getuid() == 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		// As in OpenShift: any user, in root's group.
		if err := syscall.Setresgid(0, 0, 0); err != nil {
			return err
		}
		if err := syscall.Setresuid(b.User, b.User, b.User); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	syscall.Umask(0o022)
	for _, variable := range b.Environment {
		if path, is := strings.CutPrefix(variable, "PATH="); is {
			_ = os.Setenv("PATH", path)
		}
	}
	program, err := exec.LookPath(b.Words[0])
	if err != nil {
		return err
	}
	return syscall.Exec(program, b.Words, b.Environment)
}

// make binds a file or folder of the machine to its path below root.
func (m mount) make(root string) error {
	target := filepath.Join(root, m.Target)
	info, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var file *os.File
		if file, err = os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			err = file.Close()
		}
	}
	if err != nil && !os.IsExist(err) {
		return err
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	// Flags that are locked on the source must be repeated.
	var is unix.Statfs_t
	if err := unix.Statfs(target, &is); err != nil {
		return err
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY)
	flags |= uintptr(is.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	if is.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	return unix.Mount("", target, "", flags, "")
}
