package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const bodyBytes = 100_000

type replyLine struct {
	Protocol string `json:"protocol"`
	Status   int    `json:"status"`
	// The SPIFFE ID that the server proved.
	Server string `json:"server"`
	Body   string `json:"body"`
}

// call makes one POST request with our SVID and prints the reply.
func call(ctx context.Context, source *workloadapi.X509Source, expected spiffeid.ID, url string, http1 bool) error {
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected))
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: !http1}
	defer transport.CloseIdleConnections()
	body := strings.NewReader(strings.Repeat("x", bodyBytes))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	reply, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("call: %w", err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	server, err := spiffeid.FromURI(reply.TLS.PeerCertificates[0].URIs[0])
	if err != nil {
		return err
	}
	printLine(replyLine{reply.Proto, reply.StatusCode, server.String(), string(text)})
	return nil
}
