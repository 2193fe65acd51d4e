package ipc

import (
	"context"
	"net"
)

const systemSocket = `\\.\pipe\profitd`

func unsupported() *Error {
	return NewError(Unsupported, "The local API is not yet supported on this system.", "Use profitd on Linux.")
}

func listen(string) (net.Listener, error) { return nil, unsupported() }

func dial(context.Context, ClientOptions) (net.Conn, error) { return nil, unsupported() }
