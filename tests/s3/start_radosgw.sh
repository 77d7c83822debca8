#!/bin/bash
# A real S3 server of one machine, for tests: a Ceph monitor, a manager, one store on a sparse file and a radosgw, all on 127.0.0.1
# and without passwords between them. Prints the address when it answers; access key test, secret testtest.
#   start_radosgw.sh FOLDER [PORT]        FOLDER is made, and holds everything; stop_radosgw.sh FOLDER ends it
# Debian: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-mgr ceph-common
set -euo pipefail

folder=$(realpath -m "${1:?a folder that does not hold a server yet}")
port=${2:-7480}
monitor_port=$((port < 60000 ? port + 1000 : port - 1000))
mkdir -p "$folder"/{mon,mgr,osd,run,log}
fsid=$(cat /proc/sys/kernel/random/uuid)
export CEPH_CONF="$folder/ceph.conf"

cat > "$CEPH_CONF" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$monitor_port]
public network = 127.0.0.0/8
ms bind ipv4 = true
ms bind msgr1 = false
ms mon client mode = crc
auth cluster required = none
auth service required = none
auth client required = none
keyring = $folder/keyring
run dir = $folder/run
log file = $folder/log/\$name.log
admin socket = $folder/run/\$name.\$pid.asok
pid file = $folder/run/\$name.pid
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
[mon.a]
mon data = $folder/mon
[mgr.x]
mgr data = $folder/mgr
mgr initial modules =
[osd]
osd data = $folder/osd
bluestore block size = 10737418240
bluestore block create = true
bluestore cache autotune = true
osd memory target = 939524096
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw thread pool size = 32
CONF

await() { # WHAT SECONDS COMMAND...
  local what=$1 seconds=$2
  shift 2
  local end=$((SECONDS + seconds))
  while [ "$SECONDS" -lt "$end" ]; do
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "$what did not come up in $seconds s, see $folder/log"
  exit 1
}

trap '[ $? = 0 ] || tail -n 20 "$folder/log/start.log" >&2' EXIT
(
  ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  monmaptool --create --addv a "[v2:127.0.0.1:$monitor_port]" --fsid "$fsid" "$folder/monmap"
  ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
  ceph-mon -i a
  await monitor 180 timeout 60 ceph -s
  ceph-mgr -i x
  uuid=$(cat /proc/sys/kernel/random/uuid)
  id=$(ceph osd new "$uuid")
  ceph-osd -i "$id" --mkfs --osd-uuid "$uuid"
  ceph-osd -i "$id"
  await 'object store' 180 bash -c 'timeout 60 ceph osd stat | grep -q "1 up"'
  radosgw -n client.rgw
  await radosgw 180 bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
  radosgw-admin user create --uid=test --display-name=test --access-key=test --secret=testtest
) > "$folder/log/start.log" 2>&1
echo "http://127.0.0.1:$port"
