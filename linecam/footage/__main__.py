from linecam.footage.clips import main

main()
