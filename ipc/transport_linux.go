package ipc

// maxPath is what unix(7) leaves of sun_path's 108 bytes, less the final zero and the "~" of listen.
const (
	systemSocket = "/run/profitd/profitd.sock"
	maxPath      = 106
)
