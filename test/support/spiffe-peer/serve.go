package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type listeningLine struct {
	Port int `json:"port"`
}

type seenLine struct {
	Protocol string `json:"protocol"`
	Path     string `json:"path"`
	// The SPIFFE ID that the caller proved, and the number of its certificate.
	Caller  string            `json:"caller"`
	Serial  string            `json:"serial"`
	Headers map[string]string `json:"headers"`
	Bytes   int64             `json:"bytes"`
}

// serve takes HTTP/1.1 and HTTP/2 from callers with the expected SPIFFE ID only, and prints and answers what it saw.
func serve(ctx context.Context, source *workloadapi.X509Source, expected spiffeid.ID) error {
	config := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(expected))
	config.MinVersion = tls.VersionTLS12
	server := &http.Server{
		Handler:           http.HandlerFunc(answer),
		TLSConfig:         config,
		ReadHeaderTimeout: 10 * time.Second,
		// What is refused is told here, in the words of go-spiffe.
		ErrorLog: log.New(os.Stderr, "", 0),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	printLine(listeningLine{listener.Addr().(*net.TCPAddr).Port})
	if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func answer(reply http.ResponseWriter, request *http.Request) {
	bytes, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		return
	}
	leaf := request.TLS.PeerCertificates[0]
	headers := map[string]string{}
	for name := range request.Header {
		headers[name] = request.Header.Get(name)
	}
	reply.Header().Set("content-type", "application/json")
	seen := seenLine{
		request.Proto, request.URL.Path, leaf.URIs[0].String(), leaf.SerialNumber.Text(16), headers, bytes,
	}
	printLine(seen)
	_ = json.NewEncoder(reply).Encode(seen)
}
