package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type connectedLine struct {
	// The SPIFFE ID that the caller proved.
	Caller string `json:"caller"`
	Bytes  int    `json:"bytes"`
}

// serveTCP speaks first, reads to the end of what the caller says, and answers it in upper case; to callers with the expected SPIFFE ID
// only.
func serveTCP(ctx context.Context, source *workloadapi.X509Source, expected spiffeid.ID) error {
	mode := spiffetls.MTLSServerWithSource(tlsconfig.AuthorizeID(expected), source)
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0", mode)
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		listener.Close()
	}()
	printLine(listeningLine{listener.Addr().(*net.TCPAddr).Port})
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			if err := shout(connection); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

func shout(connection net.Conn) error {
	if _, err := io.WriteString(connection, "hello\n"); err != nil {
		return err
	}
	// The handshake is done with the first byte.
	caller, err := spiffetls.PeerIDFromConn(connection)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	printLine(connectedLine{caller.String(), len(said)})
	if _, err := io.WriteString(connection, strings.ToUpper(string(said))); err != nil {
		return err
	}
	return connection.(interface{ CloseWrite() error }).CloseWrite()
}
