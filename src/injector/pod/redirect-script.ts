/**
 * What the init container of `--redirect` runs, with POSTERN_REDIRECT_FROM (the port of the workload) and POSTERN_REDIRECT_TO
 * (that of the sidecar). It runs again when the node restarts the pod, and must then change nothing.
 *
 * - nat: what comes from outside to the workload's port goes to the sidecar.
 * - filter: what would reach the workload's port from outside all the same, because something else keeps it from the nat table,
 *   is refused.
 * - Only what comes in by another interface than loopback is touched, and nothing on its way out: the sidecar reaches the
 *   workload on 127.0.0.1 whatever its user is, and so does everything else in the pod.
 */
export const redirectScript = `
inbound() {
  "$1" -w 30 -t nat -N POSTERN 2>/dev/null || "$1" -w 30 -t nat -F POSTERN
  "$1" -w 30 -t nat -A POSTERN -i lo -j RETURN
  "$1" -w 30 -t nat -A POSTERN -p tcp --dport "$POSTERN_REDIRECT_FROM" -j REDIRECT --to-ports "$POSTERN_REDIRECT_TO"
  "$1" -w 30 -t nat -C PREROUTING -p tcp -j POSTERN 2>/dev/null || "$1" -w 30 -t nat -I PREROUTING -p tcp -j POSTERN
  "$1" -w 30 -t filter -N POSTERN 2>/dev/null || "$1" -w 30 -t filter -F POSTERN
  "$1" -w 30 -t filter -A POSTERN -i lo -j RETURN
  "$1" -w 30 -t filter -A POSTERN -p tcp --dport "$POSTERN_REDIRECT_FROM" -j REJECT --reject-with tcp-reset
  "$1" -w 30 -t filter -C INPUT -p tcp -j POSTERN 2>/dev/null || "$1" -w 30 -t filter -I INPUT -p tcp -j POSTERN
}
export XTABLES_LOCKFILE=/dev/null
inbound iptables
if [ -e /proc/net/if_inet6 ]; then inbound ip6tables; fi
`.trim()
