module coppice/bench

go 1.19
