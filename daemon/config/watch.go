package config

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing may happen before the files are read: several changes in a burst are one, and a
	// program that is still writing gets to finish.
	quiet = 200 * time.Millisecond
	// lookEvery is how often the files are looked at unasked: network drives and bind mounts of single files tell
	// nothing, and a whole path can be moved away. It is the only wake-up of an idle watcher.
	lookEvery = 60 * time.Second
)

// Loaded is what one reading of the files gave: a Config, or Problems.
type Loaded struct {
	Config *Config
	Err    error
	// Unwatched says why the system announces no changes, so that they take up to a minute; nil if it does.
	Unwatched error
}

// Watcher reads the configuration whenever it may have changed.
type Watcher struct {
	// C brings the first reading at once, and another one for each change: of a content, of what is wrong, or of the
	// rights. Nothing comes while all is as it was. A receiver that is late gets the newest alone. It keeps the last
	// good Config itself. C is closed when the context ends.
	C <-chan Loaded

	reload chan struct{}
}

// Watch watches the configuration as Load reads it, until ctx ends.
func Watch(ctx context.Context, path string, opts Options) *Watcher {
	notify, err := fsnotify.NewWatcher()
	return watch(ctx, &watched{path: path, opts: opts, notify: notify, unwatched: err}, lookEvery)
}

// Reload reads the files now and brings the outcome, changed or not. It does not wait.
func (w *Watcher) Reload() {
	select {
	case w.reload <- struct{}{}:
	default: // one is due already
	}
}

func watch(ctx context.Context, files *watched, every time.Duration) *Watcher {
	out := make(chan Loaded)
	w := &Watcher{C: out, reload: make(chan struct{}, 1)}
	w.Reload()
	go files.run(ctx, every, w.reload, out)
	return w
}

// watched is what one goroutine knows of the files. It alone uses it.
type watched struct {
	path      string
	opts      Options
	notify    *fsnotify.Watcher // nil: the system has none to give
	unwatched error

	seen    []lookup        // what the last reading found
	names   map[string]bool // each file, folder and link on the way to what was read
	folders map[string]bool // those that are watched; true: for whatever appears in it
}

func (f *watched) run(ctx context.Context, every time.Duration, reload <-chan struct{}, out chan<- Loaded) {
	defer close(out)
	var events chan fsnotify.Event
	var failures chan error
	if f.notify != nil {
		defer f.notify.Close()
		events, failures = f.notify.Events, f.notify.Errors
	}
	look := time.NewTicker(every)
	defer look.Stop()
	settled := time.NewTimer(quiet)
	settled.Stop()

	var latest Loaded
	var deliver chan<- Loaded // out while latest waits for its receiver
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case deliver <- latest:
			latest, deliver = Loaded{}, nil
			continue
		case event := <-events:
			if f.concerns(event.Name) {
				settled.Reset(quiet)
			}
			continue
		case <-failures: // most of all: more events than the system could keep
			settled.Reset(quiet)
			continue
		case <-settled.C:
		case <-look.C:
		case <-reload:
			due = true
		}
		f.follow()
		if due || f.changed() {
			latest, deliver = f.load(), out
		}
	}
}

// load reads until nothing has changed between reading the files and watching their folders. For files that never
// rest, the next event goes on.
func (f *watched) load() (loaded Loaded) {
	for range 3 {
		from := newDisk(f.opts)
		loaded.Config, loaded.Err = loadFrom(from, f.path, f.opts)
		f.seen = from.seen
		f.follow()
		if !f.changed() {
			break
		}
	}
	loaded.Unwatched = f.unwatched
	return loaded
}

// changed asks the disk again what the last reading asked.
func (f *watched) changed() bool {
	now := newDisk(f.opts)
	for _, l := range f.seen {
		if l.list {
			now.list(l.name)
		} else {
			now.read(l.name, l.private)
		}
	}
	return !slices.Equal(now.seen, f.seen)
}

// concerns tells whether an event may mean a change.
func (f *watched) concerns(name string) bool {
	_, folder := f.folders[name]
	return folder || f.names[name] || f.folders[filepath.Dir(name)]
}

// follow watches the folders in which a change would show: that of each file, of each symbolic link on the way, and
// the nearest one of what is not there. Links are followed anew each time, and a folder that was made again is
// watched again: watching twice does no harm.
func (f *watched) follow() {
	f.names, f.folders = map[string]bool{}, map[string]bool{}
	for _, l := range f.seen {
		end, err := walk(l.name, func(path string, info fs.FileInfo) error {
			f.names[path] = true
			if info == nil || info.Mode()&linkModes != 0 {
				f.watch(filepath.Dir(path), false)
			}
			return nil
		})
		if err == nil {
			if l.list {
				f.watch(end, true)
			} else {
				f.watch(filepath.Dir(end), false)
			}
		}
	}
	if f.notify == nil {
		return
	}
	for _, folder := range f.notify.WatchList() {
		if _, wanted := f.folders[folder]; !wanted {
			f.notify.Remove(folder) // gone already, at worst
		}
	}
	f.unwatched = nil
	for folder := range f.folders {
		if err := f.notify.Add(folder); err != nil {
			f.unwatched = err
		}
	}
}

func (f *watched) watch(folder string, everything bool) {
	f.folders[folder] = f.folders[folder] || everything
}
