package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// named is a whole configuration that can be told from others.
func named(description string) string {
	return payroll + "[[connectors.payroll.users]]\nid = \"jan\"\naccounts = [\"jan\"]\n[device]\ndescription = \"" + description + "\"\n"
}

// next waits for the next reading; none may come before it.
func next(t *testing.T, w *Watcher) Loaded {
	t.Helper()
	select {
	case loaded, open := <-w.C:
		if !open {
			t.Fatal("the watcher has ended")
		}
		return loaded
	case <-time.After(10 * time.Second):
		t.Fatal("no change was noticed")
		panic("unreachable")
	}
}

func wantNext(t *testing.T, w *Watcher, description string) {
	t.Helper()
	loaded := next(t, w)
	must(t, loaded.Err)
	if got := loaded.Config.Device.Description; got != description {
		t.Fatalf("got %s, want %s", got, description)
	}
}

// replace is how careful programs write.
func replace(t *testing.T, path, content string) {
	t.Helper()
	temporary := filepath.Join(filepath.Dir(path), ".new")
	write(t, temporary, content)
	err := os.Rename(temporary, path)
	// Windows puts no file in the place of one that is being read.
	for deadline := time.Now().Add(5 * time.Second); runtime.GOOS == "windows" && errors.Is(err, fs.ErrPermission) && time.Now().Before(deadline); {
		err = os.Rename(temporary, path)
	}
	must(t, err)
}

// symlink makes a link, where ordinary accounts may.
func symlink(t *testing.T, target, path string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("only some accounts may make links on Windows, and Wine follows none")
	}
	must(t, os.Symlink(target, path))
}

func relink(t *testing.T, target, link string) {
	t.Helper()
	must(t, os.Symlink(target, link+".new"))
	must(t, os.Rename(link+".new", link))
}

// Each way in which files change; after each the watcher must have found its feet again and see a plain write.
func TestWatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(t *testing.T, dir string) // what stands there when the watcher starts; nil: named("before")
		change func(t *testing.T, dir string) // makes the description "after"
		file   string                         // where the description stands afterwards, if not in config.toml
	}{
		{name: "written in place", change: func(t *testing.T, dir string) { write(t, dir+"/config.toml", named("after")) }},
		{name: "replaced", change: func(t *testing.T, dir string) { replace(t, dir+"/config.toml", named("after")) }},
		{name: "deleted and made again at once", change: func(t *testing.T, dir string) {
			must(t, os.Remove(dir+"/config.toml"))
			write(t, dir+"/config.toml", named("after"))
		}},
		{name: "a burst", change: func(t *testing.T, dir string) {
			for range 20 {
				replace(t, dir+"/config.toml", named("between"))
				write(t, dir+"/config.d/a.toml", "half of it [")
			}
			write(t, dir+"/config.d/a.toml", "#")
			replace(t, dir+"/config.toml", named("after"))
		}},
		// It parses, but the writer is not done.
		{name: "half a file that parses", change: func(t *testing.T, dir string) {
			write(t, dir+"/config.toml", payroll)
			write(t, dir+"/config.toml", named("after"))
		}},
		{name: "as Kubernetes does it", before: func(t *testing.T, dir string) {
			write(t, dir+"/..1/config.toml", named("before"))
			symlink(t, "..1", dir+"/..data")
			symlink(t, "..data/config.toml", dir+"/config.toml")
		}, change: func(t *testing.T, dir string) {
			write(t, dir+"/..2/config.toml", named("after"))
			relink(t, "..2", dir+"/..data")
			must(t, os.RemoveAll(dir+"/..1"))
		}},
		{name: "a link to the folder moves", before: func(t *testing.T, dir string) {
			must(t, os.Remove(dir))
			write(t, dir+".1/config.toml", named("before"))
			symlink(t, dir+".1", dir)
		}, change: func(t *testing.T, dir string) {
			write(t, dir+".2/config.toml", named("after"))
			relink(t, dir+".2", dir)
		}},
		{name: "the folder is exchanged", change: func(t *testing.T, dir string) {
			if runtime.GOOS == "windows" {
				t.Skip("Windows does not tell: the next look finds out")
			}
			write(t, dir+".new/config.toml", named("after"))
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Rename(dir+".new", dir))
		}},
		{name: "config.d appears", before: func(t *testing.T, dir string) { write(t, dir+"/config.toml", payroll+"users = []") },
			change: func(t *testing.T, dir string) { write(t, dir+"/config.d/a.toml", "device.description = \"after\"") },
			file:   "config.d/a.toml"},
		{name: "a part appears", before: func(t *testing.T, dir string) {
			write(t, dir+"/config.toml", payroll)
			must(t, os.Mkdir(dir+"/config.d", 0o755))
		}, change: func(t *testing.T, dir string) {
			replace(t, dir+"/config.d/a.toml", "[device]\ndescription = \"after\"")
		}, file: "config.d/a.toml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, nil) + "/etc"
			must(t, os.Mkdir(dir, 0o755))
			if test.before == nil {
				write(t, dir+"/config.toml", named("before"))
			} else {
				test.before(t, dir)
			}
			w := Watch(t.Context(), dir+"/config.toml", Options{})
			must(t, next(t, w).Err)
			test.change(t, dir)
			wantNext(t, w, "after")

			file, content := dir+"/config.toml", named("again")
			if test.file != "" {
				file, content = filepath.Join(dir, test.file), "device.description = \"again\""
			}
			write(t, file, content)
			wantNext(t, w, "again")
		})
	}
}

// A service may be installed before it is configured, and its folder may go and come back.
func TestWatchWhatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t, nil), "a", "b")
	w := Watch(t.Context(), dir+"/config.toml", Options{})
	for range 2 {
		if loaded := next(t, w); loaded.Err == nil {
			t.Fatalf("got %+v", loaded)
		}
		write(t, dir+"/config.toml", named("there"))
		wantNext(t, w, "there")
		must(t, os.RemoveAll(filepath.Dir(dir)))
	}
}

// What the configuration points to is part of it.
func TestWatchPointedTo(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"config.toml": strings.Replace(payroll, `environment_key = "941CKEY"`, `environment_key_file = "keys/key"`, 1) +
			"users_file = \"people/users.csv\"\n[network]\nca_file = \"certs/ca.pem\"\n",
		"keys/key": "941C", "people/users.csv": "jan,12345.jan\n", "certs/ca.pem": certificate(t),
	})
	w := Watch(t.Context(), dir+"/config.toml", Options{})
	must(t, next(t, w).Err)
	write(t, dir+"/keys/key", "new")
	if c := next(t, w).Config; c == nil || c.Connectors[0].EnvironmentKey.Reveal() != "new" {
		t.Error("the key file was not read again")
	}
	replace(t, dir+"/people/users.csv", "ria,12345.ria\n")
	if c := next(t, w).Config; c == nil || c.Connectors[0].Users[0].ID != "12345.ria" {
		t.Error("the users were not read again")
	}
	must(t, os.Remove(dir+"/certs/ca.pem"))
	if err := next(t, w).Err; err == nil {
		t.Error("the certificates were not missed")
	}
	write(t, dir+"/certs/ca.pem", certificate(t))
	must(t, next(t, w).Err)
}

// A network drive tells nothing: the watcher finds out by itself.
func TestMissedEvent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t, map[string]string{"config.toml": named("a")}), "config.toml")
	w := watch(t.Context(), &watched{path: path}, 20*time.Millisecond)
	wantNext(t, w, "a")
	replace(t, path, named("b"))
	wantNext(t, w, "b")
}

// When the system lost events, nobody knows which.
func TestOverflow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t, map[string]string{"config.toml": named("a")}), "config.toml")
	notify, err := fsnotify.NewWatcher()
	must(t, err)
	w := watch(t.Context(), &watched{path: path, notify: notify}, time.Hour)
	wantNext(t, w, "a")
	for _, folder := range notify.WatchList() {
		must(t, notify.Remove(folder))
	}
	replace(t, path, named("b"))
	notify.Errors <- fsnotify.ErrEventOverflow
	wantNext(t, w, "b")
}

// Writing the same again is no change; SIGHUP reads all the same.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t, map[string]string{"config.toml": named("a")}), "config.toml")
	files := &watched{path: path}
	must(t, files.load().Err)
	replace(t, path, named("a"))
	if files.changed() {
		t.Error("the same content is a change")
	}
	write(t, path, named("b"))
	if !files.changed() {
		t.Error("another content is none")
	}

	w := Watch(t.Context(), path, Options{})
	wantNext(t, w, "b")
	w.Reload()
	wantNext(t, w, "b")
}

// A receiver that is busy gets the newest, not the oldest.
func TestLateReceiver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t, map[string]string{"config.toml": named("a")}), "config.toml")
	files := &watched{path: path}
	w := watch(t.Context(), files, 10*time.Millisecond)
	wantNext(t, w, "a")
	replace(t, path, named("b"))
	w.Reload()
	replace(t, path, named("c"))
	w.Reload()
	for next(t, w).Config.Device.Description != "c" { // at most b, if it was being read
	}
}

func TestWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := Watch(ctx, filepath.Join(folder(t, nil), "config.toml"), Options{})
	cancel()
	for range w.C {
	}
}
