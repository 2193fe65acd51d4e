// Package sessionbus settles, before any other package can ask, which D-Bus session bus this process talks to.
// It is imported for that effect alone, beside github.com/99designs/keyring.
//
// That library connects to the session bus while packages are initialised. Where DBUS_SESSION_BUS_ADDRESS is not set
// (under systemd, cron or sudo) its D-Bus library runs dbus-launch, which starts a bus of its own: a dbus-daemon that
// nobody ends, on which Secret Service then seems to be available. So where the variable is empty this package sets it:
// to the user's bus if its socket is there, else to "disabled:", an address that nothing can be reached at.
//
// It comes first by the language specification: of the packages whose imports are all initialised, the one that is
// first by import path is initialised next. This package imports os and what os needs, nothing else; so it is ready as
// soon as os is, and sorts before os/exec, which is needed to run dbus-launch. Keep its imports so.
package sessionbus
