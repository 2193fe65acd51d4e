package ipc

// maxPath is what unix(4) leaves of sun_path's 104 bytes, less the final zero and the "~" of listen.
const (
	systemSocket = "/var/run/profitd/profitd.sock"
	maxPath      = 102
)
