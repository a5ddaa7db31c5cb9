package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spiffe/go-spiffe/v2/spiffegrpc/grpccredentials"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type calledLine struct {
	Method string `json:"method"`
	// The SPIFFE ID that the caller proved.
	Caller    string   `json:"caller"`
	Principal []string `json:"principal"`
}

// serveGRPC takes calls of the service test.Echo, whose messages are plain bytes, from callers with the expected SPIFFE ID only.
func serveGRPC(ctx context.Context, source *workloadapi.X509Source, expected spiffeid.ID) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	authorized := tlsconfig.AuthorizeID(expected)
	server := grpc.NewServer(
		grpc.Creds(grpccredentials.MTLSServerCredentials(source, source, authorized)),
		grpc.ForceServerCodec(plainBytes{}),
	)
	server.RegisterService(&echoService, nil)
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	printLine(listeningLine{listener.Addr().(*net.TCPAddr).Port})
	return server.Serve(listener)
}

var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	Methods: []grpc.MethodDesc{
		{MethodName: "Unary", Handler: unary},
		{MethodName: "Fails", Handler: fails},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "List", Handler: list, ServerStreams: true},
		{StreamName: "Chat", Handler: chat, ServerStreams: true, ClientStreams: true},
	},
}

// unary echoes, and says in a header and in a trailer who called.
func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var message []byte
	if err := decode(&message); err != nil {
		return nil, err
	}
	caller := called(ctx, "Unary")
	if err := grpc.SetHeader(ctx, metadata.Pairs("x-caller", caller)); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "after "+caller)); err != nil {
		return nil, err
	}
	return &message, nil
}

// fails says why not in its status, and more in a trailer.
func fails(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var message []byte
	if err := decode(&message); err != nil {
		return nil, err
	}
	called(ctx, "Fails")
	if err := grpc.SetTrailer(ctx, metadata.Pairs("x-why", "because")); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.FailedPrecondition, "não · %25")
}

// list sends each byte of the request as a message.
func list(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	called(stream.Context(), "List")
	for i := range message {
		one := message[i : i+1]
		if err := stream.SendMsg(&one); err != nil {
			return err
		}
	}
	return nil
}

// chat echoes each message as it comes; one that says "stop" breaks it off.
func chat(_ any, stream grpc.ServerStream) error {
	called(stream.Context(), "Chat")
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if string(message) == "stop" {
			return status.Error(codes.DataLoss, "lost")
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

// called prints the call and returns its caller.
func called(ctx context.Context, method string) string {
	caller, ok := grpccredentials.PeerIDFromContext(ctx)
	if !ok {
		panic("a caller without SPIFFE ID")
	}
	principal := metadata.ValueFromIncomingContext(ctx, "x-postern-principal")
	printLine(calledLine{method, caller.String(), principal})
	return caller.String()
}

// plainBytes is a codec that leaves messages as they are.
type plainBytes struct{}

func (plainBytes) Name() string { return "plain-bytes" }

func (plainBytes) Marshal(value any) ([]byte, error) {
	bytes, ok := value.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("no bytes: %T", value)
	}
	return *bytes, nil
}

func (plainBytes) Unmarshal(data []byte, value any) error {
	bytes, ok := value.(*[]byte)
	if !ok {
		return fmt.Errorf("no bytes: %T", value)
	}
	*bytes = append([]byte(nil), data...)
	return nil
}
