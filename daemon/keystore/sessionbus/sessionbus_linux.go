package sessionbus

import "os"

const variable = "DBUS_SESSION_BUS_ADDRESS"

func init() {
	// "autolaunch:" asks for dbus-launch outright.
	if address := os.Getenv(variable); address == "" || address == "autolaunch:" {
		os.Setenv(variable, find(os.Getenv("XDG_RUNTIME_DIR")))
	}
}

// find returns the address of the bus that systemd or elogind keeps for a logged-in user in their runtime directory,
// or one that cannot be reached. The process of a system service or of sudo has no such directory.
func find(runtimeDir string) string {
	if runtimeDir == "" {
		return "disabled:"
	}
	socket := runtimeDir + "/bus"
	if info, err := os.Stat(socket); err != nil || info.Mode()&os.ModeSocket == 0 {
		return "disabled:"
	}
	return "unix:path=" + socket
}
