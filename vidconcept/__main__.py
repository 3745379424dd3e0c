from vidconcept.cli import main

main()
