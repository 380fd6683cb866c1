"""The path of one request; async, and without knowledge of aiohttp, Redis or disks."""
